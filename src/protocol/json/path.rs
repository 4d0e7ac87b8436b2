//! Where in a document an error stands.

use super::error::Error;
use super::reader::{Kind, Reader};

/// The path (`messages[2].content`) of what stands at `offset`, for error messages.
///
/// Computed when an error is rendered, so reading pays nothing for it.
#[must_use]
pub fn path_at(text: &str, offset: usize) -> String {
    fn walk(reader: &mut Reader<'_>, offset: usize, path: &mut String) -> Result<(), Found> {
        let here = path.len();
        match reader.peek().map_err(|_| Found)? {
            Kind::Object => reader.object(|key, value| {
                path.truncate(here);
                if here > 0 {
                    path.push('.');
                }
                // A client's key of any length and content must not become the message.
                path.extend(key.chars().filter(|c| !c.is_control()).take(60));
                step(value, offset, path)
            }),
            Kind::Array => {
                let mut index = 0usize;
                reader.array(|value| {
                    path.truncate(here);
                    path.push_str(&format!("[{index}]"));
                    index += 1;
                    step(value, offset, path)
                })
            }
            _ => Err(Found),
        }
    }
    fn step(value: &mut Reader<'_>, offset: usize, path: &mut String) -> Result<(), Found> {
        let mut ahead = value.clone();
        match ahead.skip() {
            Ok(()) if ahead.offset() <= offset => {
                *value = ahead;
                Ok(())
            }
            _ => {
                if ahead.offset() >= offset && value.offset() < offset {
                    walk(value, offset, path)?;
                }
                Err(Found)
            }
        }
    }
    struct Found;
    impl From<Error> for Found {
        fn from(_: Error) -> Self {
            Found
        }
    }
    let mut path = String::new();
    let _ = walk(&mut Reader::new(text), offset, &mut path);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_path() {
        let text = r#"{"model":"m","messages":[{"role":"user"},{"role":7}]}"#;
        let offset = text.find('7').unwrap();
        assert_eq!(path_at(text, offset), "messages[1].role");
    }
}
