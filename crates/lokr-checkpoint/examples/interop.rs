//! Writes adapters for `tests/interop/compare.py`: one folder per recorded case, with what `lokr` makes of its adapter
//! (other dialects, LoRA, resized, combined), and beside each file the weights that it stands for.
//!
//! ```sh
//! cargo run -p lokr-checkpoint --example interop -- interop-files
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, CombineOptions, ConfigError, ConvertOptions, Dialect, FactorSize,
    FloatType, JobError, LoraLayout, LoraOptions, LoraRank, ModuleError, Overwrite, Progress, ReadOptions,
    ResizeOptions, Strength, Tensor, TensorFile, Unmatched, combine, resize, to_lora, write_tensors,
};
use ndarray::{Array2, ArrayD, IxDyn};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Weights = BTreeMap<String, Tensor>;

fn main() -> Result<()> {
    let out = PathBuf::from(std::env::args().nth(1).ok_or("give the folder to write")?);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures");
    let mut cases: Vec<_> =
        std::fs::read_dir(fixtures)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    cases.sort();
    for folder in cases.iter().filter(|case| case.join("case.json").is_file()) {
        let out = out.join(folder.file_name().ok_or("a case without a name")?);
        std::fs::create_dir_all(&out)?;
        for file in ["case.json", "base.safetensors"] {
            std::fs::copy(folder.join(file), out.join(file))?;
        }
        let file = folder.join("adapter.safetensors");
        let adapter = Adapter::read(if file.is_file() { &file } else { folder }, &ReadOptions::default())?;
        Case { base: BaseModel::open(folder.join("base.safetensors"))?, adapter, out }.write()?;
    }
    Ok(())
}

struct Case {
    base: BaseModel,
    adapter: Adapter,
    out: PathBuf,
}

impl Case {
    fn write(&self) -> Result<()> {
        let weights = self.weights(&self.adapter)?;
        self.adapter("peft", Dialect::Peft, &self.adapter, &weights)?;
        self.adapter("lycoris", Dialect::Lycoris, &self.adapter, &weights)?;
        let own = match self.adapter.dialect() {
            Dialect::Kohya => "kohya",
            Dialect::Peft => "peft",
            _ => "lycoris",
        };
        if own == "kohya" {
            self.adapter(own, Dialect::Kohya, &self.adapter, &weights)?;
        }
        self.lora("lora-exact", LoraRank::Exact)?;
        self.lora("lora-rank2", LoraRank::Best(2))?;
        if own == "kohya" {
            self.kohya_lora("kohya-lora-exact", LoraRank::Exact)?;
            self.kohya_lora("kohya-lora-rank2", LoraRank::Best(2))?;
        }

        let dialect = self.adapter.dialect();
        let options = ResizeOptions { size: Some(FactorSize::Rank(1)), ..ResizeOptions::default() };
        for (name, factor) in [("rank1", None), ("split4", Some(4))] {
            let resized = resize(&self.adapter, Some(&self.base), &ResizeOptions { factor, ..options }, &mut go_on);
            if let Some(resized) = self.possible(name, resized)? {
                self.adapter(&format!("{own}-{name}"), dialect, &resized.adapter, &self.weights(&resized.adapter)?)?;
            }
        }
        let summands = [(&self.adapter, 0.75), (&self.adapter, 0.5)];
        let sum = combine(&summands, Some(&self.base), &CombineOptions::default(), &mut go_on);
        if let Some(sum) = self.possible("combined", sum)? {
            self.adapter(&format!("{own}-combined"), dialect, &sum.adapter, &self.weights(&sum.adapter)?)?;
        }
        Ok(())
    }

    /// The weights that base and adapter make together.
    fn weights(&self, adapter: &Adapter) -> Result<Weights> {
        let mut weights = Weights::new();
        for (name, target) in adapter.resolve(&self.base, Unmatched::Refuse)?.targets() {
            let mut weight = self.base.weight::<f32>(target)?;
            adapter.modules()[name].merge_into(&mut weight, &Strength::default())?;
            weights.insert(target.to_owned(), Tensor::from_array(&weight, FloatType::F32));
        }
        Ok(weights)
    }

    /// Writes an adapter in f32: half types are rounded by the programs at other places, and values are to be compared.
    fn adapter(&self, name: &str, dialect: Dialect, adapter: &Adapter, weights: &Weights) -> Result<()> {
        let options = ConvertOptions { dtype: Some(FloatType::F32), ..ConvertOptions::to(dialect) };
        let Some(conversion) = self.possible(name, adapter.convert(&options, Some(&self.base)))? else {
            return Ok(());
        };
        let file = if dialect == Dialect::Peft { name.to_owned() } else { format!("{name}.safetensors") };
        conversion.adapter.write(self.out.join(file), Overwrite::Replace)?;
        self.expect(name, weights)
    }

    fn lora(&self, name: &str, rank: LoraRank) -> Result<()> {
        let options = LoraOptions { rank, dtype: Some(FloatType::F32), ..LoraOptions::default() };
        let lora = to_lora(&self.adapter, Some(&self.base), &options, &mut go_on);
        let Some(lora) = self.possible(name, lora)? else {
            return Ok(());
        };
        let mut weights = Weights::new();
        for module in &lora.report.modules {
            let half = |half| {
                let key = format!("base_model.model.{}.lora_{half}.weight", module.name);
                lora.tensors[&key].to_array::<f64>(&key)
            };
            let (a, b) = (half("A")?, half("B")?);
            let matrix = |array: &ArrayD<f64>| -> Result<Array2<f64>> {
                Ok(array.to_shape((array.shape()[0], array.len() / array.shape()[0]))?.to_owned())
            };
            let key = format!("{}.weight", module.name);
            let weight = self.base.weight::<f64>(&key)?;
            let change = matrix(&b)?.dot(&matrix(&a)?).into_shape_with_order(IxDyn(weight.shape()))?;
            weights.insert(key, Tensor::from_array(&(weight + change), FloatType::F32));
        }
        lora.write(self.out.join(name), Overwrite::Replace)?;
        self.expect(name, &weights)
    }

    /// The same change as [`Case::lora`]'s of that rank, under kohya's names.
    fn kohya_lora(&self, name: &str, rank: LoraRank) -> Result<()> {
        let layout = LoraLayout::Kohya;
        let options = LoraOptions { layout, rank, dtype: Some(FloatType::F32), ..LoraOptions::default() };
        let lora = to_lora(&self.adapter, Some(&self.base), &options, &mut go_on);
        let Some(lora) = self.possible(name, lora)? else {
            return Ok(());
        };
        lora.write(self.out.join(format!("{name}.safetensors")), Overwrite::Replace)?;
        let weights =
            TensorFile::open(self.out.join(format!("{}.weights.safetensors", name.trim_start_matches("kohya-"))))?;
        let weights =
            weights.names().map(|key| Ok((key.to_owned(), weights.tensor(key)?))).collect::<Result<Weights>>()?;
        self.expect(name, &weights)
    }

    fn expect(&self, name: &str, weights: &Weights) -> Result<()> {
        let path = self.out.join(format!("{name}.weights.safetensors"));
        Ok(write_tensors(path, weights, &BTreeMap::new(), Overwrite::Replace)?)
    }

    /// What was made, or nothing where there is no such thing.
    fn possible<T>(&self, name: &str, made: lokr_checkpoint::Result<T>) -> Result<Option<T>> {
        match made {
            Ok(made) => Ok(Some(made)),
            Err(error) => match error.cause() {
                E::Module(ModuleError::CannotHold { .. })
                | E::Config(ConfigError::Factors { .. })
                | E::Job(JobError::Dora { .. })
                | E::Module(ModuleError::NotKronecker { .. }) => {
                    println!("{}: no {name}: {}", self.out.display(), error.cause());
                    Ok(None)
                }
                _ => Err(error.into()),
            },
        }
    }
}

fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
