//! The pages in `docs`: what they link to is there.

use std::path::Path;

#[test]
fn the_files_that_pages_link_to_exist() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let Ok(pages) = std::fs::read_dir(&docs) else { return }; // The crate by itself has no pages.
    let mut links = 0;
    for page in pages.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")) {
        for target in
            std::fs::read_to_string(&page).unwrap().split("](").skip(1).filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.contains(char::is_whitespace);
            // Formulas and code have brackets too: a link has a name with an ending, or is a folder.
            if elsewhere || !file.contains(['.', '/']) {
                continue;
            }
            assert!(docs.join(file).exists(), "{}: {target}", page.display());
            links += 1;
        }
    }
    assert!(links > 100, "{links} links");
}
