//! Weights of eight bits in every layout, made and read by plain arithmetic.

use std::sync::LazyLock;

use lokr_checkpoint::{BaseModel, Dtype, FloatType, Tensor};
use ndarray::{Array2, ArrayD, Ix2};

/// What a code is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Code {
    E4m3,
    E5m2,
    Int8,
}

impl Code {
    /// A code's value, by the definition of its type.
    pub(crate) fn value(self, code: u8) -> f64 {
        let float = |bits: i32, bias: i32| {
            let (exponent, mantissa) = (i32::from(code & 127) >> bits, i32::from(code & 127) & ((1 << bits) - 1));
            let fraction = f64::from(mantissa) / 2f64.powi(bits);
            let size = if exponent == 0 {
                fraction * 2f64.powi(1 - bias)
            } else {
                (1.0 + fraction) * 2f64.powi(exponent - bias)
            };
            if code > 127 { -size } else { size }
        };
        match self {
            Self::E4m3 if code & 127 == 127 => f64::NAN,
            Self::E5m2 if code & 127 > 0x7b => f64::NAN,
            Self::E4m3 => float(3, 7),
            Self::E5m2 => float(2, 15),
            Self::Int8 => f64::from(code as i8),
        }
    }

    pub(crate) fn largest(self) -> f64 {
        match self {
            Self::E4m3 => 448.0,
            Self::E5m2 => 57344.0,
            Self::Int8 => 127.0,
        }
    }

    /// The nearest code, found by looking at all; of two that are as near, the first.
    pub(crate) fn nearest(self, x: f64) -> u8 {
        static VALUES: LazyLock<[[f64; 256]; 3]> = LazyLock::new(|| {
            [Code::E4m3, Code::E5m2, Code::Int8].map(|code| std::array::from_fn(|byte| code.value(byte as u8)))
        });
        let mut nearest = (f64::INFINITY, 0);
        for (byte, value) in VALUES[self as usize].iter().enumerate() {
            let distance = (value - x).abs();
            // Never true of a code that is no number.
            if distance < nearest.0 {
                nearest = (distance, byte as u8);
            }
        }
        nearest.1
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::E4m3 => Dtype::F8_E4M3,
            Self::E5m2 => Dtype::F8_E5M2,
            Self::Int8 => Dtype::I8,
        }
    }
}

/// Which elements share a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cells {
    None,
    All,
    Rows,
    Blocks,
}

/// A layout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) code: Code,
    pub(crate) cells: Cells,
    /// The name of the scales behind the module's.
    pub(crate) scales: &'static str,
    pub(crate) scales_dtype: Dtype,
    /// What is stored for a scale of 1.
    pub(crate) unit: f64,
    /// `comfy_quant`, if there is one.
    pub(crate) comfy: Option<&'static str>,
    /// The size of rotated groups.
    pub(crate) group: Option<usize>,
}

const PLAIN: Kind = Kind {
    code: Code::E4m3,
    cells: Cells::None,
    scales: "",
    scales_dtype: Dtype::F32,
    unit: 1.0,
    comfy: None,
    group: None,
};

/// The layouts by what they are called here.
pub(crate) const KINDS: [(&str, Kind); 13] = [
    ("e4m3", PLAIN),
    ("e5m2", Kind { code: Code::E5m2, ..PLAIN }),
    ("comfy, old", Kind { cells: Cells::All, scales: ".scale_weight", ..PLAIN }),
    (
        "comfy, new",
        Kind { cells: Cells::All, scales: ".weight_scale", comfy: Some(r#"{"format": "float8_e4m3fn"}"#), ..PLAIN },
    ),
    (
        "comfy, e5m2",
        Kind {
            code: Code::E5m2,
            cells: Cells::All,
            scales: ".weight_scale",
            comfy: Some(r#"{"format": "float8_e5m2"}"#),
            ..PLAIN
        },
    ),
    ("deepseek", Kind { cells: Cells::Blocks, scales: ".weight_scale_inv", ..PLAIN }),
    (
        "deepseek, exponents",
        Kind { cells: Cells::Blocks, scales: ".weight_scale_inv", scales_dtype: Dtype::F8_E8M0, ..PLAIN },
    ),
    ("compressed-tensors", Kind { cells: Cells::Rows, scales: ".weight_scale", scales_dtype: Dtype::BF16, ..PLAIN }),
    ("int8, rows", Kind { code: Code::Int8, cells: Cells::Rows, scales: ".weight_scale", ..PLAIN }),
    (
        "int8, rows in f16",
        Kind { code: Code::Int8, cells: Cells::Rows, scales: ".weight_scale", scales_dtype: Dtype::F16, ..PLAIN },
    ),
    (
        "int8, comfy",
        Kind {
            code: Code::Int8,
            cells: Cells::All,
            scales: ".weight_scale",
            comfy: Some(r#"{"format": "int8_tensorwise"}"#),
            ..PLAIN
        },
    ),
    ("bitsandbytes", Kind { code: Code::Int8, cells: Cells::Rows, scales: ".SCB", unit: 127.0, ..PLAIN }),
    (
        "int8, rotated",
        Kind {
            code: Code::Int8,
            cells: Cells::Rows,
            scales: ".weight_scale",
            comfy: Some(r#"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 16}"#),
            group: Some(16),
            ..PLAIN
        },
    ),
];

/// The side of DeepSeek's blocks.
const SIDE: usize = 128;

impl Kind {
    /// The number of an element's scale, and the shape of all.
    fn cell(&self, (rows, columns): (usize, usize), (i, j): (usize, usize)) -> (usize, Vec<usize>) {
        match self.cells {
            Cells::None | Cells::All => (0, vec![]),
            Cells::Rows if self.scales == ".SCB" => (i, vec![rows]),
            Cells::Rows => (i, vec![rows, 1]),
            Cells::Blocks => {
                let across = columns.div_ceil(SIDE);
                (i / SIDE * across + j / SIDE, vec![rows.div_ceil(SIDE), across])
            }
        }
    }

    /// The nearest scale that can be stored.
    fn storable(&self, scale: f64) -> f64 {
        match self.scales_dtype {
            Dtype::F8_E8M0 => 2f64.powf(scale.log2().ceil()),
            dtype => {
                let dtype = FloatType::from_dtype(dtype).unwrap();
                let stored = Tensor::from_array(&ndarray::arr0(scale * self.unit), dtype);
                f64::from((stored.to_array::<f64>("").unwrap().into_iter().next().unwrap() / self.unit) as f32)
            }
        }
    }

    /// Scales with which the largest values fill the type.
    pub(crate) fn scales_for(&self, values: &Array2<f64>) -> Vec<f64> {
        let count = self.cell(values.dim(), (0, 0)).1.iter().product();
        let mut largest = vec![0f64; count];
        for (at, x) in self.rotated(values).indexed_iter() {
            let of_cell = &mut largest[self.cell(values.dim(), at).0];
            *of_cell = of_cell.max(x.abs());
        }
        match self.cells {
            Cells::None => vec![1.0],
            _ => largest.into_iter().map(|x| self.storable(x / self.code.largest())).collect(),
        }
    }

    /// Into the other basis or back: each group times the Kronecker power of the matrix of four.
    pub(crate) fn rotated(&self, values: &Array2<f64>) -> Array2<f64> {
        const H: [[f64; 4]; 4] =
            [[1.0, 1.0, 1.0, -1.0], [1.0, 1.0, -1.0, 1.0], [1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]];
        let Some(group) = self.group else { return values.clone() };
        assert_eq!(group, 16);
        Array2::from_shape_fn(values.dim(), |(i, j)| {
            let (first, k) = (j / group * group, j % group);
            (0..group).map(|l| H[k / 4][l / 4] * H[k % 4][l % 4] / 4.0 * values[[i, first + l]]).sum()
        })
    }

    /// Nearest codes of values for given scales.
    pub(crate) fn codes(&self, values: &Array2<f64>, scales: &[f64]) -> Array2<u8> {
        let scaled =
            self.rotated(values).indexed_iter().map(|(at, x)| x / scales[self.cell(values.dim(), at).0]).collect();
        let scaled: Array2<f64> = Array2::from_shape_vec(values.dim(), scaled).unwrap();
        let limit = self.code.largest();
        scaled.mapv(|x| self.code.nearest(x.clamp(-limit, limit)))
    }

    /// What codes stand for.
    pub(crate) fn values(&self, codes: &Array2<u8>, scales: &[f64]) -> Array2<f64> {
        let value = |(at, &code): ((usize, usize), &u8)| self.code.value(code) * scales[self.cell(codes.dim(), at).0];
        let values = codes.indexed_iter().map(value).collect();
        self.rotated(&Array2::from_shape_vec(codes.dim(), values).unwrap())
    }

    /// The stored tensors of a module's weight.
    pub(crate) fn store(&self, module: &str, values: &Array2<f64>) -> Vec<(String, Tensor)> {
        let scales = self.scales_for(values);
        let codes = self.codes(values, &scales);
        let shape = vec![values.nrows(), values.ncols()];
        let weight = Tensor::new("", self.code.dtype(), shape, codes.into_iter().collect()).unwrap();
        let mut tensors = vec![(format!("{module}.weight"), weight)];
        if self.cells != Cells::None {
            let shape = self.cell(values.dim(), (0, 0)).1;
            tensors.push((format!("{module}{}", self.scales), self.scales_tensor(shape, &scales)));
        }
        if let Some(comfy) = self.comfy {
            let tensor = Tensor::new("", Dtype::U8, vec![comfy.len()], comfy.as_bytes().to_vec()).unwrap();
            tensors.push((format!("{module}.comfy_quant"), tensor));
        }
        if self.scales == ".scale_weight" {
            tensors.push((format!("{module}.scale_input"), Tensor::from_array(&ndarray::arr0(1.0), FloatType::F32)));
        }
        if self.scales == ".SCB" {
            tensors.push((format!("{module}.weight_format"), Tensor::new("", Dtype::U8, vec![], vec![0]).unwrap()));
        }
        tensors
    }

    fn scales_tensor(&self, shape: Vec<usize>, scales: &[f64]) -> Tensor {
        match self.scales_dtype {
            Dtype::F8_E8M0 => {
                let bytes = scales.iter().map(|x| (x.log2() as i32 + 127) as u8).collect();
                Tensor::new("", Dtype::F8_E8M0, shape, bytes).unwrap()
            }
            dtype => {
                let values = ArrayD::from_shape_vec(shape, scales.iter().map(|x| x * self.unit).collect()).unwrap();
                Tensor::from_array(&values, FloatType::from_dtype(dtype).unwrap())
            }
        }
    }

    /// The scales and codes of a module's weight in a model.
    pub(crate) fn stored(&self, model: &BaseModel, module: &str) -> (Array2<u8>, Vec<f64>) {
        let weight = model.tensor(&format!("{module}.weight")).unwrap();
        let shape = (weight.shape()[0], weight.shape()[1]);
        let codes = Array2::from_shape_vec(shape, weight.bytes().to_vec()).unwrap();
        let scales = match self.cells {
            Cells::None => vec![1.0],
            _ => {
                let tensor = model.tensor(&format!("{module}{}", self.scales)).unwrap();
                match self.scales_dtype {
                    Dtype::F8_E8M0 => tensor.bytes().iter().map(|&x| 2f64.powi(i32::from(x) - 127)).collect(),
                    _ => tensor
                        .to_array::<f64>("")
                        .unwrap()
                        .into_iter()
                        .map(|x| f64::from((x / self.unit) as f32))
                        .collect(),
                }
            }
        };
        (codes, scales)
    }

    /// What a module's weight in a model stands for.
    pub(crate) fn read(&self, model: &BaseModel, module: &str) -> Array2<f64> {
        let (codes, scales) = self.stored(model, module);
        self.values(&codes, &scales)
    }
}

pub(crate) fn matrix(values: ArrayD<f64>) -> Array2<f64> {
    values.into_dimensionality::<Ix2>().unwrap()
}
