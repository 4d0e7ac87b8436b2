//! Translations on disk, for a judge that knows the official SDKs: tests/sdk/types.py.
//!
//! If `AIPROXY_TRANSLATIONS` names a folder, what was there before goes to `recorded/<protocol>` and what the
//! gateway wrote to `translated/<from>-to-<to>`, under the same name, which ends with `.request.json`,
//! `.answer.json`, `.answer.sse` or `.error.json`.

use std::fs;
use std::path::Path;

use super::Protocol;

/// Keeps what a client or a provider wrote.
pub fn keep_recorded(protocol: Protocol, name: &str, written: impl AsRef<[u8]>) {
    keep(&format!("recorded/{protocol}"), name, written.as_ref());
}

/// Keeps what the gateway wrote in protocol `to`.
pub fn keep_translated(from: Protocol, to: Protocol, name: &str, written: impl AsRef<[u8]>) {
    keep(&format!("translated/{from}-to-{to}"), name, written.as_ref());
}

fn keep(folder: &str, name: &str, written: &[u8]) {
    if let Some(root) = std::env::var_os("AIPROXY_TRANSLATIONS") {
        let folder = Path::new(&root).join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), written).unwrap();
    }
}
