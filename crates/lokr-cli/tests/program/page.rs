//! `lokr inspect --html`.

use std::collections::BTreeMap;

use lokr_checkpoint::{FloatType, Overwrite, Tensor, write_tensors};
use ndarray::Array2;

use crate::support::{Folder, case, fails, succeeds};

fn page(adapter: &str) -> String {
    let folder = Folder::new();
    let path = folder.path("page.html");
    let text = succeeds(&["inspect", adapter, "--html", &path]);
    assert!(text.ends_with(&format!("page written to {path}\n")), "{text}");
    assert_eq!(folder.count(), 1);
    std::fs::read_to_string(path).unwrap()
}

/// Every element that is opened is closed, in the right order.
fn assert_nested(page: &str) {
    const ALONE: [&str; 4] = ["meta", "br", "rect", "polyline"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let name: &str = tag.split(|c: char| !(c.is_alphanumeric() || c == '/' || c == '!')).next().unwrap();
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "</{closed}>"),
            None if name.starts_with('!') || ALONE.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_page_needs_nothing_else() {
    for adapter in
        ["kohya_unet/adapter.safetensors", "peft_mlp_rank_alpha_pattern", "lycoris_conv1d_full/adapter.safetensors"]
    {
        let page = page(&case(adapter));
        assert_nested(&page);
        for absent in ["<script", "http://", "https://", "url(", "@import", "src=", "NaN"] {
            let links = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!links.contains(absent), "{adapter}: {absent}");
        }
        for part in ["Which programs read it", "ComfyUI", "diffusers", "<polyline", "class=\"spectrum\"", "‖ΔW‖F"]
        {
            assert!(page.contains(part), "{adapter}: {part}");
        }
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains("default-src 'none'"));
    }
    assert!(page(&case("kohya_unet/adapter.safetensors")).contains("lora_unet_conv_in"));
}

#[test]
fn names_cannot_become_part_of_the_page() {
    let folder = Folder::new();
    let path = folder.path("<b>&'.safetensors");
    let ones = |rows, columns| Tensor::from_array(&Array2::<f32>::ones((rows, columns)), FloatType::F32);
    let name = "diffusion_model.<script>alert(\"1\")</script>.x'&";
    let tensors: BTreeMap<_, _> =
        [(format!("{name}.lokr_w1"), ones(2, 2)), (format!("{name}.lokr_w2"), ones(2, 2))].into_iter().collect();
    let texts = [("<i>key".to_owned(), "</table><img src=x>".to_owned())].into_iter().collect();
    write_tensors(&path, &tensors, &texts, Overwrite::Refuse).unwrap();
    let page = page(&path);
    assert_nested(&page);
    for absent in ["<script", "<img", "<i>", "<b>"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn a_page_is_not_overwritten_unless_asked() {
    let folder = Folder::new();
    let (adapter, path) = (case("kohya_unet/adapter.safetensors"), folder.path("page.html"));
    std::fs::write(&path, "mine").unwrap();
    fails(&["inspect", &adapter, "--html", &path], 2);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    succeeds(&["inspect", &adapter, "--html", &path, "--force"]);
    let error = fails(&["inspect", &adapter, "--html", &folder.path("page.pdf")], 2);
    assert!(error.ends_with("expected a name that ends in .html\n"), "{error}");
}
