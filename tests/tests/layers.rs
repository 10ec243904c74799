//! The layer table of ARCHITECTURE.md against what the crates really use: arrows point down only.

use gatewarden_tests::source;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// One row of the table.
struct Layer {
    number: u32,
    crates: Vec<String>,
    uses_nothing: bool,
}

fn table() -> Vec<Layer> {
    source::text("ARCHITECTURE.md")
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let number = cells.get(1)?.split_whitespace().next()?.parse().ok()?;
            let crates = cells
                .get(2)?
                .split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
                .collect();
            Some(Layer {
                number,
                crates,
                uses_nothing: cells.get(3)?.starts_with("nothing of ours"),
            })
        })
        .collect()
}

/// Each package of the workspace with the packages of the workspace that it uses, tests aside.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(source::root())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Json| value["name"].as_str().unwrap_or_default().to_owned();
    let ours: BTreeSet<String> = list(&metadata["packages"]).iter().map(name).collect();
    let uses = |package: &Json| {
        let used = list(&package["dependencies"]);
        used.iter()
            .filter(|used| used["kind"] != "dev")
            .map(name)
            .filter(|name| ours.contains(name))
            .collect()
    };
    list(&metadata["packages"])
        .iter()
        .map(|package| (name(package), uses(package)))
        .collect()
}

#[test]
fn every_crate_has_one_layer_and_uses_lower_ones_only() {
    let table = table();
    let packages = packages();
    assert!(packages.len() >= 14, "{packages:?}");
    let mut layers: BTreeMap<&str, &Layer> = BTreeMap::new();
    for layer in &table {
        for name in &layer.crates {
            assert!(
                packages.contains_key(name),
                "ARCHITECTURE.md names {name}, which is no crate of this workspace"
            );
            assert!(
                layers.insert(name, layer).is_none(),
                "ARCHITECTURE.md has {name} twice"
            );
        }
    }
    for (name, uses) in &packages {
        let layer = layers
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no layer in ARCHITECTURE.md"));
        assert!(
            !layer.uses_nothing || uses.is_empty(),
            "{name} may use nothing of ours, and uses {uses:?}"
        );
        for used in uses {
            let below = layers[used.as_str()].number;
            assert!(
                below < layer.number,
                "{name} (layer {}) uses {used} (layer {below})",
                layer.number
            );
        }
    }
}
