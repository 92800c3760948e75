//! What a server's pages look like: its name, logo, colour and legal links, by configuration.

use super::colour::Colour;
use aid_cli::config::beside;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// Largest logo, bytes: a first page has 60 KB for everything.
pub const MAX_LOGO: usize = 24 * 1024;
/// Most legal links.
const MAX_LEGAL: usize = 8;
/// Contrast of text (WCAG 2.2 §1.4.3).
const TEXT: f64 = 4.5;

/// `[….theme]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whose pages these are, as users know it.
    pub name: Option<String>,
    /// SVG or PNG file of at most 24 KiB, shown beside the name.
    pub logo: Option<PathBuf>,
    /// Colour of main buttons and links, `#rrggbb`; its contrast on a light page is at least 4.5:1. Dark pages show it
    /// lighter.
    pub colour: Option<String>,
    /// `square` or `round` corners.
    pub corners: Corners,
    /// Links at the foot of each page, such as imprint and privacy.
    pub legal: Vec<Legal>,
}

/// How corners look.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Corners {
    /// Rounded.
    #[default]
    Round,
    /// Not rounded.
    Square,
}

/// A link at the foot of each page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Legal {
    /// What it is called.
    pub title: String,
    /// `https://...`
    pub url: String,
}

impl Config {
    /// Makes the logo's path relative to the file that names it.
    pub fn resolve(&mut self, file: &Path) {
        if let Some(logo) = &mut self.logo {
            *logo = beside(file, logo);
        }
    }

    /// The theme, with this name and colour where none is given; reads the logo.
    ///
    /// # Errors
    /// A sentence that names the key and the remedy.
    pub fn theme(&self, name: &str, colour: Colour) -> Result<Theme, String> {
        let name = self.name.as_deref().unwrap_or(name);
        if !is_plain(name) || name.chars().count() > 64 {
            return Err("theme.name must be 1 to 64 printable characters".into());
        }
        let colour = match &self.colour {
            Some(text) => text.parse().map_err(|e| format!("theme.colour {e}"))?,
            None => colour,
        };
        let contrast = colour.contrast(Colour::LIGHT);
        if contrast < TEXT {
            return Err(format!(
                "theme.colour {colour} has a contrast of {contrast:.1}:1 on a light page; choose a darker one with at \
                 least 4.5:1 (WCAG 2.2)"
            ));
        }
        if self.legal.len() > MAX_LEGAL {
            return Err(format!("theme.legal has more than {MAX_LEGAL} links"));
        }
        for link in &self.legal {
            let is_link = link.url.starts_with("https://")
                && link.url.bytes().all(|b| (0x21..0x7f).contains(&b));
            if !is_plain(&link.title) || !is_link {
                return Err(format!(
                    "theme.legal: {:?} must have a title and a URL that begins with https://",
                    link.title
                ));
            }
        }
        Ok(Theme {
            name: name.to_owned(),
            logo: self.logo.as_deref().map(Logo::read).transpose()?,
            colour,
            corners: self.corners,
            legal: self.legal.clone(),
        })
    }
}

fn is_plain(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(aid_cli::printable::is_unprintable)
}

/// A logo.
#[derive(Debug, Clone)]
pub struct Logo {
    pub(super) bytes: Vec<u8>,
    /// `svg` or `png`
    pub(super) kind: &'static str,
}

impl Logo {
    fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let bytes = std::fs::read(file).map_err(|e| format!("theme.logo {shown}: {e}"))?;
        if bytes.len() > MAX_LOGO {
            let size = bytes.len();
            return Err(format!(
                "theme.logo {shown} has {size} bytes; at most {MAX_LOGO} are allowed"
            ));
        }
        let is_svg = std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg"));
        let kind = match bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            true => "png",
            false if is_svg => "svg",
            false => return Err(format!("theme.logo {shown} is neither SVG nor PNG")),
        };
        Ok(Self { bytes, kind })
    }
}

/// A checked theme.
#[derive(Debug, Clone)]
pub struct Theme {
    /// Whose pages these are.
    pub name: String,
    /// Their logo.
    pub logo: Option<Logo>,
    /// Their colour.
    pub colour: Colour,
    /// How corners look.
    pub corners: Corners,
    /// Links at the foot.
    pub legal: Vec<Legal>,
}

impl Theme {
    /// A theme with nothing but a name and a colour.
    #[must_use]
    pub fn plain(name: &str, colour: Colour) -> Self {
        Self {
            name: name.to_owned(),
            logo: None,
            colour,
            corners: Corners::Round,
            legal: Vec::new(),
        }
    }

    /// The style sheet, with the theme's values.
    pub(super) fn style(&self) -> String {
        let dark = self.colour.lightened(Colour::DARK, TEXT);
        let round = match self.corners {
            Corners::Round => ".75rem",
            Corners::Square => "2px",
        };
        format!(
            "{}:root{{--brand:{light};--on-brand:#fff;--brand-text:{light};--round:{round}}}\n\
             @media(prefers-color-scheme:dark){{:root{{--brand:{dark};--on-brand:#121417;--brand-text:{dark}}}}}\n",
            include_str!("style.css"),
            light = self.colour,
        )
    }
}

/// The beginning of the SHA-256 of a file, for its name.
pub(super) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BLUE: Colour = Colour([0x0b, 0x57, 0xd0]);

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_theme_is_checked() {
        let theme = config(
            r##"{"name":"A","colour":"#8a1c5b","corners":"square","legal":[{"title":"Imprint","url":"https://a.example/i"}]}"##,
        );
        let theme = theme.theme("B", BLUE).unwrap();
        assert_eq!(theme.name, "A");
        let style = theme.style();
        assert!(style.contains("--brand:#8a1c5b") && style.contains("--round:2px"));
        assert_eq!(Config::default().theme("B", BLUE).unwrap().name, "B");
        for (bad, what) in [
            (r#"{"name":" "}"#, "theme.name"),
            (r##"{"colour":"#ffd400"}"##, "contrast of 1."),
            (r#"{"colour":"blue"}"#, "theme.colour"),
            (
                r#"{"legal":[{"title":"x","url":"javascript:alert(1)"}]}"#,
                "theme.legal",
            ),
            (
                r#"{"legal":[{"title":"","url":"https://x.example"}]}"#,
                "theme.legal",
            ),
            (r#"{"logo":"/nothing/here.svg"}"#, "theme.logo"),
        ] {
            let error = config(bad).theme("B", BLUE).unwrap_err();
            assert!(error.contains(what), "{bad}: {error}");
        }
    }

    #[test]
    fn a_logo_is_a_small_picture() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logo");
        for (bytes, kind) in [
            (
                b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
                Some("svg"),
            ),
            (b"\x89PNG\r\n\x1a\nrest".to_vec(), Some("png")),
            (b"GIF89a".to_vec(), None),
            (vec![b'<'; MAX_LOGO + 1], None),
        ] {
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(Logo::read(&file).ok().map(|logo| logo.kind), kind);
        }
    }
}
