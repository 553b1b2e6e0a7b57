//! What each program reads: facts from its own sources, as they were in November 2026 or the newest copy before.

use super::facts::{Facts, Limit, Names, Only, Opens};
use super::feature::Feature;
use super::report::{ConvertTo, Fit};
use super::stored::Kind;
use crate::dialects::Dialect;
use crate::jobs::lora::LoraLayout;

const fn any(prefix: &'static str) -> Names {
    Names { prefix, paths: &[], except: &[], kinds: &[], only: None }
}

const fn only(prefix: &'static str, paths: &'static [&'static str]) -> Names {
    Names { prefix, paths, except: &[], kinds: &[], only: None }
}

const fn of(kinds: &'static [Kind], names: Names) -> Names {
    Names { kinds, ..names }
}

const fn fails(feature: Feature, why: &'static str) -> Limit {
    Limit { feature, fit: Fit::Fails, why }
}

const fn differs(feature: Feature, why: &'static str) -> Limit {
    Limit { feature, fit: Fit::Differs, why }
}

const DOTTED: ConvertTo = ConvertTo::Dialect(Dialect::Dotted);
const KOHYA: ConvertTo = ConvertTo::Dialect(Dialect::Kohya);
const LYCORIS: ConvertTo = ConvertTo::Dialect(Dialect::Lycoris);
const PEFT: ConvertTo = ConvertTo::Dialect(Dialect::Peft);
const DOTTED_LORA: ConvertTo = ConvertTo::Lora(LoraLayout::Dotted);
const KOHYA_LORA: ConvertTo = ConvertTo::Lora(LoraLayout::Kohya);
const PEFT_LORA: ConvertTo = ConvertTo::Lora(LoraLayout::Peft);

/// Beginnings of paths in the diffusers form of a U-Net, flattened.
const UNET: [&str; 7] =
    ["down_blocks_", "mid_block_", "up_blocks_", "conv_in", "conv_out", "time_embedding_", "add_embedding_"];

/// Beginnings of paths in the diffusers form of Flux and SD3, of Qwen-Image and Krea 2, and of HiDream, Z-Image and
/// Lumina 2: the families that `ComfyUI` knows under these names too.
const TRANSFORMERS: [&str; 7] = [
    "transformer_blocks.",
    "single_transformer_blocks.",
    "double_stream_blocks.",
    "single_stream_blocks.",
    "layers.",
    "noise_refiner.",
    "context_refiner.",
];
const TRANSFORMERS_FLAT: [&str; 14] = [
    "transformer_blocks_",
    "single_transformer_blocks_",
    "double_stream_blocks_",
    "single_stream_blocks_",
    "layers_",
    "noise_refiner_",
    "context_refiner_",
    UNET[0],
    UNET[1],
    UNET[2],
    UNET[3],
    UNET[4],
    UNET[5],
    UNET[6],
];

/// Beginnings behind `diffusion_model.` of names that are no path in the model as `ComfyUI` has it: another prefix, or
/// the diffusers form of a U-Net or of Flux.
const NOT_COMFYS: [&str; 9] = [
    "diffusion_model.",
    "model.",
    "transformer.",
    "unet.",
    "text_encoder",
    "down_blocks.",
    "mid_block.",
    "up_blocks.",
    "single_transformer_blocks.",
];
const NOT_COMFYS_FLAT: [&str; 6] = [
    "single_transformer_blocks_",
    "diffusion_model_",
    "model_diffusion_model_",
    "text_encoder",
    "conditioner_",
    "cond_stage_model_",
];

const NOT_2D: &str = "it multiplies full factors for kernels of two axes only";
const NO_CORE: &str = "it rebuilds Tucker cores for kernels of two axes only";

/// By [`Program`](super::program::Program), in its order.
pub(super) const PROGRAMS: [Facts; 8] = [
    Facts {
        name: "comfyui",
        title: "ComfyUI",
        source: "Comfy-Org/ComfyUI: comfy/lora.py, comfy/weight_adapter/{lokr,lora,base}.py",
        opens: Opens::File,
        reads: &[Kind::Lokr, Kind::LoraDown, Kind::LoraA, Kind::Loha, Kind::Difference],
        names: &[
            Names { except: &NOT_COMFYS, ..any("diffusion_model.") },
            Names { except: &NOT_COMFYS_FLAT, ..any("lora_unet_") },
            only("lycoris_", &TRANSFORMERS_FLAT),
            only("lora_transformer_", &[TRANSFORMERS_FLAT[0], TRANSFORMERS_FLAT[1]]),
            only("transformer.", &TRANSFORMERS),
            only("transformer.", &["double_blocks.", "single_blocks."]),
            any("text_encoders."),
            any("lora_te_"),
            any("lora_te1_"),
            any("lora_te2_"),
            any("lora_te3_"),
            any("lora_prior_unet_"),
            only("text_encoder.", &["text_model.encoder.layers."]),
            only("text_encoder_2.", &["text_model.encoder.layers."]),
            only("", &TRANSFORMERS),
        ],
        limits: &[
            fails(Feature::KernelNot2d, NOT_2D),
            fails(Feature::TuckerNot2d, NO_CORE),
            differs(Feature::DoraOnOutput, "it divides DoRA's norms by those of W, not of W + ΔW"),
        ],
        targets: &[DOTTED, KOHYA, DOTTED_LORA, KOHYA_LORA],
        note: Some("which names it looks up depends on the model it has loaded; --base checks them against that"),
    },
    Facts {
        name: "forge",
        title: "Forge",
        source: "lllyasviel/stable-diffusion-webui-forge: packages_3rdparty/comfyui_lora_collection/lora.py, \
                 backend/patcher/lora.py",
        opens: Opens::File,
        reads: &[Kind::Lokr, Kind::LoraDown, Kind::LoraA, Kind::Loha, Kind::Difference],
        names: &[
            Names { except: &NOT_COMFYS, ..any("diffusion_model.") },
            Names { except: &NOT_COMFYS_FLAT, ..any("lora_unet_") },
            only("lycoris_", &UNET),
            only("lycoris_", &[TRANSFORMERS_FLAT[0], TRANSFORMERS_FLAT[1]]),
            only("lora_transformer_", &[TRANSFORMERS_FLAT[0], TRANSFORMERS_FLAT[1]]),
            only("transformer.", &[TRANSFORMERS[0], TRANSFORMERS[1]]),
            any("text_encoders."),
            any("lora_te_"),
            any("lora_te1_"),
            any("lora_te2_"),
            any("lora_te3_"),
        ],
        limits: &[
            fails(Feature::KernelNot2d, NOT_2D),
            fails(Feature::TuckerNot2d, NO_CORE),
            differs(Feature::DoraOnOutput, "it divides DoRA's norms by those of W, not of W + ΔW"),
        ],
        targets: &[KOHYA, DOTTED, KOHYA_LORA, DOTTED_LORA],
        note: None,
    },
    Facts {
        name: "invokeai",
        title: "InvokeAI",
        source: "invoke-ai/InvokeAI: invokeai/backend/patches/layers/{lokr_layer,dora_layer,utils}.py, \
                 invokeai/backend/patches/lora_conversions/",
        opens: Opens::File,
        reads: &[Kind::Lokr, Kind::LoraDown, Kind::LoraA, Kind::Loha],
        names: &[
            Names { except: &NOT_COMFYS_FLAT, ..any("lora_unet_") },
            any("lora_transformer_"),
            any("lora_te_"),
            any("lora_te1_"),
            any("lora_te2_"),
            only(
                "diffusion_model.",
                &["double_blocks.", "single_blocks.", "blocks.", "transformer_blocks.", "layers."],
            ),
            of(&[Kind::LoraA], any("transformer.")),
        ],
        limits: &[
            fails(Feature::KernelNot2d, NOT_2D),
            fails(Feature::TuckerNot2d, NO_CORE),
            fails(Feature::Dora, "it takes every module with dora_scale for a LoRA, and the whole file fails"),
        ],
        targets: &[KOHYA, KOHYA_LORA, DOTTED_LORA],
        note: None,
    },
    Facts {
        name: "diffusers",
        title: "diffusers",
        source: "huggingface/diffusers: src/diffusers/loaders/{lora_pipeline,lora_conversion_utils,peft}.py, \
                 src/diffusers/utils/peft_utils.py",
        opens: Opens::File,
        reads: &[Kind::LoraDown, Kind::LoraA],
        names: &[
            of(&[Kind::LoraDown], Names { except: &NOT_COMFYS_FLAT, ..any("lora_unet_") }),
            of(&[Kind::LoraDown], only("lora_transformer_", &[TRANSFORMERS_FLAT[0], TRANSFORMERS_FLAT[1]])),
            of(&[Kind::LoraDown], any("lora_te_")),
            of(&[Kind::LoraDown], any("lora_te1_")),
            of(&[Kind::LoraDown], any("lora_te2_")),
            only("diffusion_model.", &["blocks."]),
            only("diffusion_model.", &TRANSFORMERS),
            Names { only: Some(Only::Flux2), ..only("diffusion_model.", &["double_blocks.", "single_blocks."]) },
            any("transformer."),
            any("unet."),
            any("text_encoder."),
            any("text_encoder_2."),
        ],
        limits: &[differs(Feature::Dora, "it leaves the norms of DoRA out")],
        targets: &[DOTTED_LORA, KOHYA_LORA],
        note: Some("pipe.load_lora_weights reads LoRA only"),
    },
    Facts {
        name: "peft",
        title: "PEFT",
        source: "huggingface/peft: src/peft/tuners/lokr/{layer,model,config}.py, src/peft/utils/save_and_load.py",
        opens: Opens::Directory,
        reads: &[Kind::Lokr, Kind::LoraA, Kind::Whole],
        names: &[any("base_model.model.")],
        limits: &[
            differs(Feature::Dora, "its LoKr has no DoRA and leaves the norms out"),
            differs(Feature::Alpha, "it leaves alpha out: its scale is in adapter_config.json"),
            fails(Feature::Kernel3d, "its LoKr has no convolutions in three dimensions"),
        ],
        targets: &[PEFT, PEFT_LORA],
        note: Some("it makes factors of the sizes that adapter_config.json and the model say, whatever the file holds"),
    },
    Facts {
        name: "lycoris",
        title: "LyCORIS",
        source: "KohakuBlueleaf/LyCORIS: lycoris/{wrapper,kohya}.py, lycoris/modules/lokr.py",
        opens: Opens::File,
        reads: &[Kind::Lokr, Kind::LoraDown, Kind::Loha, Kind::Difference],
        names: &[any("lycoris_"), any("lora_unet_"), any("lora_te_"), any("lora_te1_"), any("lora_te2_")],
        limits: &[
            fails(Feature::NoAlpha, "it needs an alpha"),
            fails(Feature::LowRankW1BesideFullW2, "it makes no module with a low-rank lokr_w1 and a full lokr_w2"),
            fails(Feature::TuckerBesideFullW1, "it takes the core's halves for others and cannot rebuild the module"),
            fails(Feature::NotSplitByLycoris, "it would split the layer otherwise and cannot take the factors"),
            fails(Feature::DoraOnInput, "it makes modules with norms by output rows only"),
        ],
        targets: &[LYCORIS, KOHYA, KOHYA_LORA],
        note: Some("its own merge squares the scale of low-rank factors; lokr merge does not"),
    },
    Facts {
        name: "kohya",
        title: "sd-scripts",
        source: "kohya-ss/sd-scripts: networks/{lokr,lora,network_base}.py",
        opens: Opens::File,
        reads: &[Kind::Lokr, Kind::LoraDown],
        names: &[any("lora_unet_"), any("lora_te_"), any("lora_te1_"), any("lora_te2_"), any("lora_te3_")],
        limits: &[
            fails(Feature::LowRankW1, "networks.lokr knows full lokr_w1 only and passes over the others"),
            fails(Feature::KernelNot2d, "it knows convolutions in two dimensions only"),
            fails(Feature::TuckerNot2d, "it knows convolutions in two dimensions only"),
            differs(Feature::Dora, "it leaves the norms of DoRA out"),
        ],
        targets: &[KOHYA, KOHYA_LORA],
        note: Some("networks.lokr has SDXL and Anima only, and is told the factor by --network_args factor=N"),
    },
    Facts {
        name: "llama.cpp",
        title: "llama.cpp",
        source: "ggml-org/llama.cpp: convert_lora_to_gguf.py",
        opens: Opens::Directory,
        reads: &[Kind::LoraA],
        names: &[any("base_model.model.")],
        limits: &[fails(Feature::LoraKernel, "it knows LoRA of linear layers only")],
        targets: &[PEFT_LORA],
        note: Some(
            "convert_lora_to_gguf.py makes a GGUF adapter of the directory; it wants the model's config.json too",
        ),
    },
];
