//! The camera, by the visitor's leave.

use crate::message::Failure;
use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{MediaStream, MediaStreamConstraints, MediaStreamTrack};

/// Width that is asked for, in pixels; any camera is taken.
const WIDTH: f64 = 1280.0;

/// Asks for the camera, without sound.
///
/// # Errors
/// `camera_insecure`, `camera_denied`, `camera_none`, `camera_busy`, `camera_constraints` or `camera`, with what to do.
pub async fn open() -> Result<MediaStream, Failure> {
    let window = web_sys::window().ok_or_else(|| Failure::new("camera", "there is no window"))?;
    if !window.is_secure_context() {
        return Err(failure("SecureContext", ""));
    }
    let asked = window.navigator().media_devices().and_then(|devices| {
        if devices.is_undefined() {
            return Err(JsValue::UNDEFINED);
        }
        devices.get_user_media_with_constraints(&constraints()?)
    });
    let stream = match asked {
        Ok(asked) => JsFuture::from(asked).await,
        Err(error) => Err(error),
    };
    stream.map(JsCast::unchecked_into).map_err(|error| {
        let text = |key: &str| Reflect::get(&error, &key.into()).ok().and_then(|value| value.as_string());
        failure(&text("name").unwrap_or_default(), &text("message").unwrap_or_default())
    })
}

/// Switches off a camera that nobody wants any more.
pub fn close(stream: &MediaStream) {
    for track in stream.get_tracks() {
        track.unchecked_into::<MediaStreamTrack>().stop();
    }
}

fn constraints() -> Result<MediaStreamConstraints, JsValue> {
    let (video, width) = (Object::new(), Object::new());
    Reflect::set(&width, &"ideal".into(), &WIDTH.into())?;
    Reflect::set(&video, &"width".into(), &width)?;
    Reflect::set(&video, &"facingMode".into(), &"user".into())?;
    let constraints = MediaStreamConstraints::new();
    constraints.set_video(&video);
    Ok(constraints)
}

/// What a browser's refusal means; names are those of the Media Capture and Streams specification, section 10.2.
fn failure(name: &str, message: &str) -> Failure {
    let (code, text) = match name {
        "SecureContext" | "TypeError" => (
            "camera_insecure",
            "browsers give the camera only to pages with https; open this page by https".into(),
        ),
        "NotAllowedError" | "SecurityError" => (
            "camera_denied",
            "the camera was not allowed; allow it for this page in the browser's address bar, and try again"
                .into(),
        ),
        "NotFoundError" => ("camera_none", "this device has no camera; connect one, and try again".into()),
        "NotReadableError" | "AbortError" => (
            "camera_busy",
            "the camera is in use or does not start; close what uses it, and try again".into(),
        ),
        "OverconstrainedError" => ("camera_constraints", "no camera here fits; connect another one".into()),
        _ => ("camera", format!("the camera cannot be used ({name} {message}); try again")),
    };
    Failure::new(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k01_each_refusal_has_a_code_and_an_advice() {
        let cases = [
            ("NotAllowedError", "camera_denied"),
            ("NotFoundError", "camera_none"),
            ("NotReadableError", "camera_busy"),
            ("OverconstrainedError", "camera_constraints"),
            ("SecureContext", "camera_insecure"),
            ("SomethingNew", "camera"),
        ];
        for (name, code) in cases {
            let failure = failure(name, "why");
            assert_eq!(failure.code, code);
            assert!(failure.message.contains(" "), "{failure:?}");
            // Translated as a whole, but for what the browser says.
            let text = crate::text::find(&format!("error.{code}"));
            assert_eq!(text == Some(&failure.message), code != "camera", "{failure:?}");
        }
    }
}
