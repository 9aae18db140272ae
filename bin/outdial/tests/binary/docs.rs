//! `docs/configuration.md` is made from the commented defaults.

use outdial::settings::{DEFAULTS, variable_name};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

#[test]
fn the_page_on_settings_is_up_to_date() {
    let expect = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &expect).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        found == expect,
        "docs/configuration.md differs from defaults.toml; write it anew with\n  \
         UPDATE_DOCS=1 cargo test -p outdial --test binary docs"
    );
}

/// The page: the comment at the head, then a part for every section and setting.
fn page() -> String {
    let mut page = "# Configuration\n\n<!-- Made from bin/outdial/src/settings/defaults.toml by \
                    `UPDATE_DOCS=1 cargo test -p outdial --test binary docs`. -->\n"
        .to_owned();
    let (mut comment, mut section) = (Vec::new(), String::new());
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
            page += &format!("\n## `{line}`\n");
        } else if let Some((key, value)) = line.split_once(" = ") {
            let key = format!("{section}{key}");
            let variable = variable_name(&key);
            page += &format!("\n### `{key}`\n\n{}\n\n", comment.join("\n"));
            page += &format!("Default: `{value}`. In the environment: `{variable}`.\n");
            comment.clear();
        } else if !comment.is_empty() {
            page += &format!("\n{}\n", comment.join("\n"));
            comment.clear();
        }
    }
    page
}
