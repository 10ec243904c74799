//! The dictionaries that come with the program, embedded as text at build time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::compile::compile;
use super::table::Dictionary;

// EMBEDDED: [(name, text)] and EMBEDDED_ROOTS: [name], written by the build script.
include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

impl Dictionary {
    /// The built-in dictionary. Compiled on first use, then shared.
    pub fn builtin() -> &'static Dictionary {
        static BUILTIN: OnceLock<Dictionary> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let roots: Vec<PathBuf> = EMBEDDED_ROOTS.iter().map(PathBuf::from).collect();
            // The build script has compiled the very same text with the very same code:
            // an error cannot happen here, and the test below would show it.
            compile(None, &roots, &mut embedded_text).unwrap_or_default()
        })
    }
}

fn embedded_text(path: &Path) -> io::Result<String> {
    EMBEDDED
        .iter()
        .find(|(name, _)| Path::new(name) == path)
        .map(|(_, text)| (*text).to_owned())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such built-in dictionary"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_dictionary_has_every_embedded_file_and_no_warning() {
        let dictionary = Dictionary::builtin();
        assert_eq!(dictionary.files().len(), EMBEDDED.len());
        assert_eq!(dictionary.warnings(), []);
        assert!(dictionary.attributes().len() > 100);
    }

    #[test]
    fn standard_names_are_the_ones_shown() {
        let check = |number: u32, name: &str| {
            assert_eq!(
                Dictionary::builtin().standard(number).map(|a| a.name()),
                Some(name)
            );
        };
        check(1, "User-Name");
        check(2, "User-Password");
        check(4, "NAS-IP-Address");
        check(5, "NAS-Port");
        check(26, "Vendor-Specific");
        check(31, "Calling-Station-Id");
        check(40, "Acct-Status-Type");
        check(79, "EAP-Message");
        check(80, "Message-Authenticator");
        check(89, "Chargeable-User-Identity");
    }
}
