//! Colours and their contrast (WCAG 2.2 §1.4.3, §1.4.11).

use std::fmt;
use std::str::FromStr;

/// An opaque colour of the sRGB space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// White.
    pub const WHITE: Self = Self([255; 3]);
    /// Surface of cards in dark pages, as the style sheet has it.
    pub const DARK: Self = Self([0x1d, 0x21, 0x26]);
    /// Surface of light pages, as the style sheet has it.
    pub const LIGHT: Self = Self([0xf6, 0xf7, 0xf9]);

    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        let [r, g, b] = self.0;
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    /// The contrast of two colours, 1 to 21.
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// This colour, made lighter until it has this contrast with a dark one.
    #[must_use]
    pub fn lightened(self, against: Self, contrast: f64) -> Self {
        let mut colour = self;
        for step in 0..=20_u16 {
            colour = Self(self.0.map(|c| {
                let mixed = u16::from(c) + (255 - u16::from(c)) * step / 20;
                u8::try_from(mixed).unwrap_or(u8::MAX)
            }));
            if colour.contrast(against) >= contrast {
                break;
            }
        }
        colour
    }
}

impl FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} must be a colour such as \"#0b57d0\"");
        let digits = text.strip_prefix('#').ok_or_else(wrong)?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let channel = |at: usize| {
            let pair = digits.get(at..at + 2).unwrap_or_default();
            u8::from_str_radix(pair, 16).map_err(|_| wrong())
        };
        Ok(Self([channel(0)?, channel(2)?, channel(4)?]))
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn contrast_is_that_of_wcag() {
        let black = Colour([0; 3]);
        assert!((Colour::WHITE.contrast(black) - 21.0).abs() < 0.01);
        let grey: Colour = "#767676".parse().unwrap();
        assert!((grey.contrast(Colour::WHITE) - 4.54).abs() < 0.01);
        for bad in ["", "#12345", "0b57d0", "#0b57dg", "red", "#é0000"] {
            assert!(bad.parse::<Colour>().is_err(), "{bad}");
        }
        assert_eq!(grey.to_string(), "#767676");
    }

    #[test]
    fn any_colour_is_readable_in_the_dark() {
        for text in ["#000000", "#0b57d0", "#8a1c5b", "#ffffff", "#00ff00"] {
            let colour: Colour = text.parse().unwrap();
            let lighter = colour.lightened(Colour::DARK, 4.5);
            assert!(lighter.contrast(Colour::DARK) >= 4.5, "{text}: {lighter}");
        }
    }

    /// The colours that the style sheet gives these names, light and dark.
    fn tokens(name: &str) -> (Colour, Colour) {
        let mark = format!("--{name}:");
        let mut values = include_str!("style.css").split(&mark).skip(1).map(|rest| {
            let value = rest.split([';', '}']).next().unwrap();
            match value.len() {
                4 => {
                    let double: String = value[1..].chars().flat_map(|c| [c, c]).collect();
                    format!("#{double}").parse().unwrap()
                }
                _ => value.parse().unwrap(),
            }
        });
        (values.next().unwrap(), values.next().unwrap())
    }

    #[test]
    fn the_style_sheet_has_enough_contrast() {
        for (front, back, least) in [
            ("text", "surface", 7.0),
            ("text", "card", 7.0),
            ("text", "note-back", 4.5),
            ("quiet", "surface", 4.5),
            ("quiet", "card", 4.5),
            ("good", "good-back", 4.5),
            ("warn", "warn-back", 4.5),
            ("danger", "danger-back", 4.5),
            ("danger", "card", 4.5),
            ("danger", "surface", 4.5),
            ("good", "surface", 3.0),
            ("warn", "surface", 3.0),
            ("line", "card", 3.0),
        ] {
            let (front_pair, back_pair) = (tokens(front), tokens(back));
            for (name, a, b) in [
                ("light", front_pair.0, back_pair.0),
                ("dark", front_pair.1, back_pair.1),
            ] {
                let contrast = a.contrast(b);
                assert!(
                    contrast >= least,
                    "{front} on {back}, {name}: {contrast:.2}"
                );
            }
        }
        assert_eq!(tokens("card").1, Colour::DARK);
        assert_eq!(tokens("surface").0, Colour::LIGHT);
    }

    // The ring has two colours: on any background one of them is seen.
    #[test]
    fn the_focus_ring_is_seen_on_every_background() {
        for level in 0..=255_u8 {
            let back = Colour([level; 3]);
            let seen = back
                .contrast(Colour::WHITE)
                .max(back.contrast(Colour([0; 3])));
            assert!(seen >= 3.0, "{back}");
        }
    }
}
