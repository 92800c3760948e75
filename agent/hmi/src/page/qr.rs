//! QR codes as SVG without styles, which the page's policy would not let through.

use maud::{Markup, PreEscaped, html};
use qrcode::{Color, QrCode};
use std::fmt::Write as _;

/// Light border, modules (ISO/IEC 18004 wants four).
const QUIET: usize = 4;

/// The code of a text; `None` where it is too long for one.
pub(super) fn qr(text: &str, label: &str) -> Option<Markup> {
    let code = QrCode::new(text.as_bytes()).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (at % width + QUIET, at / width + QUIET);
            // Writing to a string does not fail.
            let _ = write!(path, "M{x} {y}h1v1h-1z");
        }
    }
    let size = width + 2 * QUIET;
    Some(html! {
        div.qr {
            svg viewBox=(format!("0 0 {size} {size}")) role="img" aria-label=(label) shape-rendering="crispEdges" {
                path d=(PreEscaped(path)) fill="#000" {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_and_its_label_escaped() {
        let text = qr("https://cmp.example/car?code=BCDF-GHJK", "<b>")
            .expect("fits")
            .into_string();
        assert!(
            text.contains("M4 4h1v1h-1z") && text.contains("&lt;b&gt;"),
            "{text}"
        );
        assert!(!text.contains("style"));
        assert!(qr(&"x".repeat(5000), "").is_none());
    }
}
