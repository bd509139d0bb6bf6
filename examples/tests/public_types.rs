//! The public types of the published crates that a bot or a driver builds and matches: each declares whether it may grow.

#[path = "shared/sources.rs"]
mod sources;

use std::fs;

use sources::sources_of;

/// Whether code outside of the crate could build the type at `lines[0]` by naming its fields.
fn is_open(lines: &[&str]) -> bool {
    let head = lines[0];
    if head.starts_with("pub enum ") {
        return true;
    }
    if head.contains('(') {
        return head.contains("(pub ");
    }
    let body = lines.iter().take_while(|line| !line.starts_with('}'));
    head.ends_with('{') && body.skip(1).any(|line| line.starts_with("    pub ") && line.contains(':'))
}

/// `#[non_exhaustive]`, or a statement in the documentation that the type is exhaustive.
#[test]
fn every_public_type_may_grow_or_says_that_it_is_exhaustive() {
    let mut types = 0;
    for name in ["gateway-codec", "gateway-proto", "gateway-driver", "gateway-cluster"] {
        for file in sources_of(name) {
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for (number, line) in lines.iter().enumerate() {
                let is_type = line.starts_with("pub struct ") || line.starts_with("pub enum ");
                if !is_type || !is_open(&lines[number..]) {
                    continue;
                }
                let above = lines[..number].iter().rev();
                let mut above = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
                let said = above.any(|line| *line == "#[non_exhaustive]" || line.contains("Exhaustive"));
                assert!(said, "{}:{}: {line}", file.display(), number + 1);
                types += 1;
            }
        }
    }
    assert!(types > 50, "{types} types were found");
}
