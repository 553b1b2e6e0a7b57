//! Writes adapters for `tests/interop/compare.py`: one folder per recorded case of one linear layer, with the adapter in
//! PEFT's dialect and in LyCORIS's, and what `lokr` makes of it.
//!
//! ```sh
//! cargo run -p lokr-checkpoint --example interop -- interop-files
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError, ConvertOptions, Dialect, FloatType, Overwrite, ReadOptions, ScaleRule, Tensor,
    Unmatched, write_tensors,
};
use lokr_layers::{Activation, Layer};
use ndarray::Array2;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::args().nth(1).ok_or("give the folder to write")?);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures");
    let mut cases: Vec<_> =
        std::fs::read_dir(fixtures)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    cases.sort();
    for case in cases.iter().filter(|case| case.join("case.json").is_file()) {
        write_case(case, &out.join(case.file_name().ok_or("a case without a name")?))?;
    }
    Ok(())
}

fn write_case(case: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let file = case.join("adapter.safetensors");
    let adapter = Adapter::read(if file.is_file() { &file } else { case }, &ReadOptions::default())?;
    let base = BaseModel::open(case.join("base.safetensors"))?;
    let resolution = adapter.resolve(&base, Unmatched::Refuse)?;
    let Some((name, target)) = resolution.targets().next().filter(|_| adapter.modules().len() == 1) else {
        return Ok(());
    };
    let (module, path) = (&adapter.modules()[name], target.trim_end_matches(".weight"));
    let linear = base.info(target).is_some_and(|(_, shape)| shape.len() == 2);
    if !linear || module.dora_scale().is_some() {
        return Ok(());
    }
    let layer = module.to_layer(base.fully_connected::<f32>(path, Activation::Identity)?, ScaleRule::Trained)?;
    let x = Array2::from_shape_fn((5, layer.input_size()), |(i, j)| ((3 * i + 7 * j) % 11) as f32 / 5.0 - 1.0);
    let tensor = |array: &Array2<f32>| Tensor::from_array(array, FloatType::F32);
    let bias = Tensor::from_array(&layer.base_layer().as_linear().ok_or("no weight")?.bias(), FloatType::F32);
    let weight = Tensor::from_array(&layer.base_layer().weights(), FloatType::F32);
    let tensors = BTreeMap::from([
        ("weight".to_owned(), weight),
        ("bias".to_owned(), bias),
        ("x".to_owned(), tensor(&x)),
        ("y".to_owned(), tensor(&layer.predict(&x)?)),
    ]);
    std::fs::create_dir_all(out)?;
    write_tensors(out.join("case.safetensors"), &tensors, &BTreeMap::new(), Overwrite::Replace)?;
    std::fs::write(out.join("path.txt"), path)?;
    for (dialect, file) in [(Dialect::Peft, "peft"), (Dialect::Lycoris, "lycoris.safetensors")] {
        // Half types are rounded by the programs at other places; here the values are compared, not the roundings.
        let options = ConvertOptions { dtype: Some(FloatType::F32), ..ConvertOptions::to(dialect) };
        match adapter.convert(&options, Some(&base)) {
            Ok(conversion) => conversion.adapter.write(out.join(file), Overwrite::Replace)?,
            Err(error)
                if matches!(
                    error.cause(),
                    CheckpointError::CannotHold { .. } | CheckpointError::PeftFactors { .. }
                ) =>
            {
                println!("{error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
