//! Client-side tools whose schema only Anthropic's models know. For others they become functions
//! with the documented parameters and the documented name (T095).

/// A tool with a built-in schema.
#[derive(Debug)]
pub(super) struct Builtin {
    prefix: &'static str,
    pub(super) description: &'static str,
    pub(super) schema: &'static str,
}

/// The tool that `tag` (`bash_20250124`) names.
pub(super) fn builtin(tag: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|tool| tag.starts_with(tool.prefix))
}

const BUILTINS: [Builtin; 3] = [
    Builtin {
        prefix: "bash_",
        description: "Runs a command in a persistent bash session and returns its output.",
        schema: concat!(
            r#"{"type":"object","properties":{"#,
            r#""command":{"type":"string","description":"The command to run. Required unless restart is true."},"#,
            r#""restart":{"type":"boolean","description":"Set to true to restart the session."}}}"#
        ),
    },
    Builtin {
        prefix: "text_editor_",
        description: "Views, creates and edits text files.",
        schema: concat!(
            r#"{"type":"object","properties":{"#,
            r#""command":{"type":"string","enum":["view","create","str_replace","insert","undo_edit"]},"#,
            r#""path":{"type":"string","description":"Path of the file or directory."},"#,
            r#""view_range":{"type":"array","items":{"type":"integer"},"description":"view: first and last line; -1 is the end."},"#,
            r#""file_text":{"type":"string","description":"create: content of the file."},"#,
            r#""old_str":{"type":"string","description":"str_replace: the text to replace; must occur exactly once."},"#,
            r#""new_str":{"type":"string","description":"str_replace: the new text; insert: the text to insert."},"#,
            r#""insert_text":{"type":"string","description":"insert: the text to insert."},"#,
            r#""insert_line":{"type":"integer","description":"insert: the line after which to insert; 0 is the top."}},"#,
            r#""required":["command","path"]}"#
        ),
    },
    Builtin {
        prefix: "memory_",
        description: "Keeps notes in files under /memories between conversations.",
        schema: concat!(
            r#"{"type":"object","properties":{"#,
            r#""command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},"#,
            r#""path":{"type":"string","description":"Path of the file or directory."},"#,
            r#""view_range":{"type":"array","items":{"type":"integer"},"description":"view: first and last line."},"#,
            r#""file_text":{"type":"string","description":"create: content of the file."},"#,
            r#""old_str":{"type":"string","description":"str_replace: the text to replace."},"#,
            r#""new_str":{"type":"string","description":"str_replace: the new text."},"#,
            r#""insert_line":{"type":"integer","description":"insert: the line after which to insert."},"#,
            r#""insert_text":{"type":"string","description":"insert: the text to insert."},"#,
            r#""old_path":{"type":"string","description":"rename: the present path."},"#,
            r#""new_path":{"type":"string","description":"rename: the new path."}},"#,
            r#""required":["command"]}"#
        ),
    },
];
