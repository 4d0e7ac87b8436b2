//! Images and documents as content parts (section 2.6).

use crate::protocol::Protocol;
use crate::protocol::canonical::media::data_url;
use crate::protocol::canonical::{Media, MediaKind, MediaSource, Unsupported};
use crate::protocol::json::{Str, Writer};

/// Writes a media part.
pub(super) fn write_media(media: &Media<'_>, native: bool, w: &mut Writer<'_>) -> Result<(), Unsupported> {
    match media.kind {
        MediaKind::Image => write_image(media, w),
        MediaKind::Document => write_document(media, w),
        MediaKind::Audio if native => write_audio(media, w),
        MediaKind::Audio => Err(Unsupported::new("input.audio", "sound is not supported by this upstream")),
        MediaKind::Video => Err(Unsupported::new("input.video", "video is not supported by this upstream")),
    }
}

fn write_image(media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), Unsupported> {
    const TAKEN: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
    let object = |w: &mut Writer<'_>, key: &'static str, value: &Str<'_>| {
        w.begin_object().key("type").text("input_image").key(key).string(value);
        // The types require it (2.7).
        w.key("detail").string(media.detail.as_ref().unwrap_or(&Str::from("auto")));
        w.end_object();
    };
    match &media.source {
        MediaSource::Inline(data) => {
            let mime = media.mime.decode();
            if !TAKEN.contains(&mime.as_ref()) {
                return Err(Unsupported::new("input.image", format!("images of type {mime} are not taken")));
            }
            object(w, "image_url", &data_url(&media.mime, data));
        }
        MediaSource::Url(url) => object(w, "image_url", url),
        MediaSource::FileId(owner, id) => object(w, "file_id", own_file(*owner, id)?),
        MediaSource::Text(text) => object(w, "image_url", text),
    }
    Ok(())
}

fn write_document(media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), Unsupported> {
    match &media.source {
        MediaSource::Text(text) => {
            w.begin_object().key("type").text("input_text").key("text").string(text).end_object();
        }
        MediaSource::Inline(data) => {
            let fallback = Str::from(match &*media.mime.decode() {
                "text/plain" => "document.txt",
                _ => "document.pdf",
            });
            w.begin_object().key("type").text("input_file");
            w.key("filename").string(media.name.as_ref().unwrap_or(&fallback));
            w.key("file_data").string(&data_url(&media.mime, data)).end_object();
        }
        MediaSource::Url(url) => {
            w.begin_object().key("type").text("input_file").key("file_url").string(url).end_object();
        }
        MediaSource::FileId(owner, id) => {
            let id = own_file(*owner, id)?;
            w.begin_object().key("type").text("input_file").key("file_id").string(id).end_object();
        }
    }
    Ok(())
}

fn write_audio(media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), Unsupported> {
    let MediaSource::Inline(data) = &media.source else {
        return Err(Unsupported::new("input.audio", "sound must be inline"));
    };
    let mime = media.mime.decode();
    let format = match mime.strip_prefix("audio/").unwrap_or(&mime) {
        "mpeg" => "mp3",
        other => other,
    };
    w.begin_object().key("type").text("input_audio").key("input_audio").begin_object();
    w.key("data").string(data).key("format").text(format).end_object().end_object();
    Ok(())
}

/// Both OpenAI protocols share one store of files; nobody else's can be reached from here.
fn own_file<'m>(owner: Protocol, id: &'m Str<'m>) -> Result<&'m Str<'m>, Unsupported> {
    match owner {
        Protocol::Responses | Protocol::OpenAi => Ok(id),
        _ => Err(Unsupported::new("input.file_id", "the file was uploaded to another provider")),
    }
}
