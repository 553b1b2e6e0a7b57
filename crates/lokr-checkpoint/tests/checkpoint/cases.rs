//! All 52 recorded cases of PEFT and LyCORIS: effective weights, outputs and merged weights within their tolerances.

use crate::support::{Case, activate, layer_output, values};
use lokr_checkpoint::{
    Adapter, BaseModel, Dialect, DoraStrength, ReadOptions, Resolution, ScaleRule, Strength, Unmatched,
};
use ndarray::ArrayD;

struct Opened {
    case: Case,
    adapter: Adapter,
    base: BaseModel,
    resolution: Resolution,
}

fn open(case: Case) -> Opened {
    let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
    let base = BaseModel::open(case.folder.join("base.safetensors")).unwrap();
    let resolution = adapter.resolve(&base, Unmatched::Refuse).unwrap();
    Opened { case, adapter, base, resolution }
}

impl Opened {
    /// The name of the module in the adapter whose weight belongs to that layer.
    fn module(&self, layer: &str) -> &str {
        let weight = format!("{layer}.weight");
        self.resolution.targets().find(|(_, target)| *target == weight).unwrap().0
    }

    /// The scale trained with, which one file does not hold: its notes say so.
    fn trained_rule(&self) -> ScaleRule {
        if self.case.name() == "lycoris_linear_rs_lora_full_matrix" {
            ScaleRule::Fixed(7f64.sqrt())
        } else {
            ScaleRule::Trained
        }
    }

    fn strength(&self, scale: ScaleRule) -> Strength {
        Strength { multiplier: self.case.multiplier(), scale, dora: DoraStrength::Lycoris }
    }

    /// The layer's weight with the adapter, in f32 as a merge computes it.
    fn weight(&self, layer: &str, strength: &Strength) -> ArrayD<f64> {
        let mut weight = self.base.weight::<f32>(&format!("{layer}.weight")).unwrap();
        self.adapter.modules()[self.module(layer)].merge_into(&mut weight, strength).unwrap();
        weight.mapv(f64::from)
    }

    fn layers(&self) -> Vec<&str> {
        self.case.targets().iter().map(|target| target["module"].as_str().unwrap()).collect()
    }
}

#[test]
fn there_are_52_cases() {
    assert_eq!(Case::all().len(), 52);
}

#[test]
fn every_module_is_found_in_its_dialect_with_its_forward_scale() {
    for case in Case::all() {
        let opened = open(case);
        let (case, adapter) = (&opened.case, &opened.adapter);
        let dialect = match case.json["peer"].as_str().unwrap() {
            "peft" => Dialect::Peft,
            "lycoris" => Dialect::Lycoris,
            "lycoris-kohya" => Dialect::Kohya,
            other => panic!("{other}"),
        };
        assert_eq!(adapter.dialect(), dialect, "{}", case.name());
        assert_eq!(adapter.modules().len(), case.targets().len(), "{}", case.name());
        for target in case.targets() {
            let layer = target["module"].as_str().unwrap();
            let module = &adapter.modules()[opened.module(layer)];
            let expected = target["forward_scale"].as_f64().unwrap();
            let scale = module.scale_by(opened.trained_rule()).unwrap();
            assert!((scale - expected).abs() <= 1e-6 * expected.abs(), "{}: {layer}: {scale} {expected}", case.name());
        }
    }
}

/// Where LyCORIS's merge is right, no separate file of effective weights was recorded.
#[test]
fn effective_weights_are_those_of_the_forward_pass() {
    let mut checked = 0;
    for case in Case::all() {
        let opened = open(case);
        let case = &opened.case;
        let recorded = case.file(if case.has("effective") { "effective" } else { "merged" });
        for layer in opened.layers() {
            let weight = opened.weight(layer, &opened.strength(opened.trained_rule()));
            case.assert_close("effective", layer, &weight, &values(&recorded, &format!("{layer}.weight")));
            checked += 1;
        }
    }
    assert!(checked > 52);
}

#[test]
fn merged_weights_of_peft_are_those_of_its_forward_pass() {
    for case in Case::all().into_iter().filter(Case::is_peft) {
        let opened = open(case);
        let recorded = opened.case.file("merged");
        for layer in opened.layers() {
            let weight = opened.weight(layer, &Strength::default());
            opened.case.assert_close("merged", layer, &weight, &values(&recorded, &format!("{layer}.weight")));
        }
    }
}

/// LyCORIS's `merge_to` scales twice, and it leaves out a learned scalar that is still apart from the factors.
#[test]
fn merged_weights_of_lycoris_have_the_scale_squared() {
    for case in Case::all().into_iter().filter(|case| !case.is_peft()) {
        let opened = open(case);
        let case = &opened.case;
        let reloaded = case.has("merged_after_reload");
        let recorded = case.file(if reloaded { "merged_after_reload" } else { "merged" });
        let rule = match opened.trained_rule() {
            ScaleRule::Fixed(s) => ScaleRule::Fixed(s * s),
            _ => ScaleRule::LikeLycorisMerge,
        };
        for layer in opened.layers() {
            let weight = opened.weight(layer, &opened.strength(rule));
            case.assert_close("merged", layer, &weight, &values(&recorded, &format!("{layer}.weight")));
        }
        if reloaded {
            // The first merge, before the scalar was multiplied into w1: divide it out again.
            let recorded = case.file("merged");
            for target in case.targets() {
                let layer = target["module"].as_str().unwrap();
                let module = &opened.adapter.modules()[opened.module(layer)];
                let scalar = target["live_scalar"].as_f64().unwrap();
                let s = module.scale_by(ScaleRule::LikeLycorisMerge).unwrap() / scalar;
                let weight = opened.weight(layer, &opened.strength(ScaleRule::Fixed(s)));
                case.assert_close("merged", layer, &weight, &values(&recorded, &format!("{layer}.weight")));
            }
        }
    }
}

#[test]
fn parameters_outside_the_adapter_are_the_same_in_merged_models() {
    for case in Case::all() {
        let opened = open(case);
        let merged = opened.case.file("merged");
        for name in opened.base.names() {
            if opened.resolution.targets().all(|(_, target)| target != name) {
                assert_eq!(opened.base.tensor(name).unwrap().bytes(), merged.tensor(name).unwrap().bytes(), "{name}");
            }
        }
    }
}

/// Each adapted layer alone: recorded input through the effective weight and the bias.
#[test]
fn outputs_of_every_layer_are_those_recorded() {
    let mut checked = 0;
    for case in Case::all() {
        let opened = open(case);
        let case = &opened.case;
        let io = case.file("io");
        let single = case.json["model"].as_array().unwrap().len() == 1;
        for layer in opened.layers() {
            let (x, y) =
                if single { ("x".to_owned(), "y".to_owned()) } else { (format!("x.{layer}"), format!("y.{layer}")) };
            let weight = opened.weight(layer, &opened.strength(opened.trained_rule()));
            let bias = opened.base.tensor(&format!("{layer}.bias")).ok().map(|b| b.to_array("bias").unwrap());
            let got = layer_output(case.layer(layer), &values(&io, &x), &weight, bias.as_ref());
            case.assert_close("y", &y, &got, &values(&io, &y));
            checked += 1;
        }
    }
    assert!(checked > 52);
}

/// Models of plain layers in a row, from the first input to the last output.
#[test]
fn outputs_of_whole_models_are_those_recorded() {
    let mut checked = 0;
    for case in Case::all().into_iter().filter(|case| !case.name().starts_with("kohya")) {
        let opened = open(case);
        let case = &opened.case;
        let io = case.file("io");
        let mut x = values(&io, "x");
        for layer in case.json["model"].as_array().unwrap() {
            let name = layer["name"].as_str().unwrap();
            let weight = if opened.layers().contains(&name) {
                opened.weight(name, &opened.strength(opened.trained_rule()))
            } else {
                opened.base.weight(&format!("{name}.weight")).unwrap()
            };
            let bias = opened.base.tensor(&format!("{name}.bias")).ok().map(|b| b.to_array("bias").unwrap());
            x = activate(&layer["act_after"], layer_output(layer, &x, &weight, bias.as_ref()));
        }
        case.assert_close("y", "y", &x, &values(&io, "y"));
        checked += 1;
    }
    assert_eq!(checked, 50);
}

/// PEFT's one layout that is no Kronecker product, and the one file whose scale is open.
#[test]
fn what_is_doubtful_is_said() {
    let warned: Vec<_> = Case::all()
        .into_iter()
        .map(open)
        .filter(|opened| !opened.adapter.warnings().is_empty())
        .map(|opened| opened.case.name().to_owned())
        .collect();
    assert_eq!(warned, ["lycoris_linear_rs_lora_full_matrix", "peft_conv1d_full_w2"]);
}

/// Arithmetic in f64 on the same files agrees with that in f32 to f32's rounding.
#[test]
fn double_precision_gives_the_same_weights() {
    for case in Case::all() {
        let opened = open(case);
        for layer in opened.layers() {
            let strength = opened.strength(opened.trained_rule());
            let mut weight = opened.base.weight::<f64>(&format!("{layer}.weight")).unwrap();
            opened.adapter.modules()[opened.module(layer)].merge_into(&mut weight, &strength).unwrap();
            let single = opened.weight(layer, &strength);
            let magnitude = weight.iter().fold(1f64, |max, x| max.max(x.abs()));
            let difference = (&weight - &single).iter().fold(0f64, |max, x| max.max(x.abs()));
            assert!(difference <= 64.0 * f64::from(f32::EPSILON) * magnitude, "{}: {difference}", opened.case.name());
        }
    }
}

/// The file that was read, and a bound of the rank that the recorded weights keep.
#[test]
fn an_adapter_says_where_its_tensors_are_and_how_large_its_ranks_are_at_most() {
    for case in Case::all() {
        let adapter = Adapter::read(case.adapter_path(), &ReadOptions::default()).unwrap();
        let name = if case.is_peft() { "adapter_model.safetensors" } else { "adapter.safetensors" };
        assert_eq!(adapter.tensors_path(), case.folder.join(name));
        for (name, module) in adapter.modules().iter().filter(|(_, module)| module.is_kronecker()) {
            let kron = module.kron::<f64>().unwrap();
            assert_eq!(module.rank_bound(), kron.a().rank_bound() * kron.b().rank_bound(), "{} {name}", case.name());
            let ((m, n), (p, columns)) = (module.w1().dim(), module.w2().dim());
            assert!(module.w1().rank_bound() <= m.min(n) && module.w2().rank_bound() <= p.min(columns));
            let lowest = module.rank().unwrap_or(usize::MAX);
            assert!(module.w1().rank_bound().min(module.w2().rank_bound()) <= lowest);
        }
    }
}
