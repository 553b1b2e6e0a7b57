//! LyCORIS's wrapper: one prefix before the underscored path.

/// The prefix unless a preset (`lora_prefix`) says otherwise.
pub(crate) const PREFIX: &str = "lycoris_";

/// A path as LyCORIS and kohya write it. It cannot be undone: names contain `_` themselves.
pub(crate) fn flatten(path: &str) -> String {
    path.replace('.', "_")
}
