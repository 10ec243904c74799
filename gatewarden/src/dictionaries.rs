//! Which attribute names a command knows: the built-in dictionary, or one with a folder of FreeRADIUS files over it.

use crate::failure::Failure;
use radius_wire::dictionary::Dictionary;
use std::borrow::Cow;
use std::path::Path;

/// The built-in dictionary, extended by a folder where one is given.
///
/// # Errors
/// File, line and reason.
pub fn load(folder: Option<&Path>) -> Result<Cow<'static, Dictionary>, Failure> {
    let Some(folder) = folder else {
        return Ok(Cow::Borrowed(Dictionary::builtin()));
    };
    let dictionary = Dictionary::builtin()
        .extended_by_dir(folder)
        .map_err(|e| Failure::usage(format!("dictionary {e}")))?;
    for warning in dictionary.warnings() {
        eprintln!(
            "warning: dictionary {}:{}: {}",
            warning.file, warning.line, warning.text
        );
    }
    Ok(Cow::Owned(dictionary))
}
