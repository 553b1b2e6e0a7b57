//! `adapter_config.json` of a LoRA.

use serde_json::{Map, Value, json};

use crate::adapter::Adapter;
use crate::dialect::peft::modules_to_save;

/// What PEFT needs to load a LoRA of these modules, all of one rank and of scale 1, and what a PEFT adapter said about
/// its base.
pub(super) fn config(adapter: &Adapter, modules: &[&str], rank: usize) -> Map<String, Value> {
    let from_config =
        |field| adapter.config().and_then(|config| config.fields().get(field)).cloned().unwrap_or_default();
    let to_save = modules_to_save(adapter.modules_to_save());
    let fields = [
        ("alpha_pattern", json!({})),
        ("base_model_name_or_path", from_config("base_model_name_or_path")),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("inference_mode", json!(true)),
        ("init_lora_weights", json!(true)),
        ("lora_alpha", json!(rank)),
        ("lora_dropout", json!(0.0)),
        ("modules_to_save", if to_save.is_empty() { Value::Null } else { json!(to_save) }),
        ("peft_type", json!("LORA")),
        ("r", json!(rank)),
        ("rank_pattern", json!({})),
        ("revision", from_config("revision")),
        ("target_modules", json!(modules)),
        ("task_type", from_config("task_type")),
        ("use_dora", json!(false)),
        ("use_rslora", json!(false)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}
