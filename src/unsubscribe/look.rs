//! How a sender's page looks: its logo and its colour, within what can be read (WCAG 2.2 AA).
//!
//! A colour is used as it is on the light page; on the dark page it is lightened until it can be read there.
//! The text on a button is black or white, whichever stands out more. Logo and style sheet are part of the
//! page itself, so that opening it asks nobody else for anything.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Contrast that a large shape needs against what is around it (WCAG 1.4.11).
const SHAPE: f64 = 3.0;
/// Contrast that text needs (WCAG 1.4.3).
const TEXT: f64 = 4.5;
/// Octets of a logo: with it, a page stays under 15 KB.
pub const MAX_LOGO: usize = 6 * 1024;

const WHITE: Colour = Colour([255; 3]);
const BLACK: Colour = Colour([13, 17, 23]);
/// What the dark page is drawn on.
const NIGHT: Colour = Colour([0x1e, 0x22, 0x27]);
/// The colour of a page whose sender named none.
const OWN: Colour = Colour([0x0b, 0x4f, 0x9e]);

/// Contrast at least 13:1 for text; a target of 48 pixels; a focus ring of its own. `--b` is the sender's
/// colour, `--t` the text upon it.
const STYLE: &str = "\
*{box-sizing:border-box}\
body{margin:0;padding:1.5rem 1rem;font:1.0625rem/1.6 system-ui,sans-serif;color:#1b1f24;background:#f4f5f7}\
main{max-width:36rem;margin:0 auto;padding:1.5rem;background:#fff;border:1px solid #c9ced6;\
border-top:.375rem solid var(--b);border-radius:.5rem}\
img{display:block;max-width:100%;max-height:4rem;margin:0 0 1.5rem;background:#fff}\
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.3}\
h1,p,footer,legend,label,blockquote{overflow-wrap:anywhere}\
p{margin:0 0 1rem}\
form{margin:0 0 1rem}\
fieldset{margin:0 0 1rem;padding:0;border:0;min-width:0}\
legend{margin:0 0 .5rem;padding:0;font-weight:600}\
label{display:flex;align-items:center;gap:.75rem;min-height:2.75rem;padding:.375rem 0;line-height:1.3}\
bdi{display:inline-block;max-width:100%}\
input{flex:none;width:1.5rem;height:1.5rem;margin:0;accent-color:var(--b)}\
input[type=email]{display:block;width:100%;height:3rem;padding:.5rem .75rem;font:inherit;color:inherit;\
background:0 0;border:1px solid currentColor;border-radius:.375rem}\
.tick{align-items:flex-start}\
blockquote{margin:0 0 1rem;padding:.75rem 1rem;border-left:.25rem solid var(--b);white-space:pre-line}\
button{min-height:3rem;min-width:min(12rem,100%);max-width:100%;padding:.75rem 1.5rem;font:inherit;\
font-weight:600;color:var(--t);background:var(--b);border:2px solid var(--b);border-radius:.375rem;\
cursor:pointer;overflow-wrap:anywhere}\
button:hover{text-decoration:underline}\
.quiet{color:inherit;background:0 0;border-color:currentColor}\
:focus-visible{outline:3px solid #b45309;outline-offset:3px}\
section,footer{margin-top:1.5rem;padding-top:1rem;border-top:1px solid #c9ced6}\
footer{font-size:.9375rem}\
a{color:inherit}\
@media(prefers-color-scheme:dark){body{color:#e8eaed;background:#15181c}main{background:#1e2227;\
border-color:#4a515b;border-top-color:var(--b)}section,footer{border-color:#4a515b}\
img{padding:.5rem;border-radius:.25rem}:focus-visible{outline-color:#fbbf24}}\
@media print{body,main{color:#000;background:#fff}main{border:0}section,form{display:none}}";

/// A colour, as red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// The pictures a browser shows without running anything in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// image/png
    Png,
    /// image/jpeg
    Jpeg,
    /// image/gif
    Gif,
    /// image/webp
    Webp,
    /// image/svg+xml: inside `<img>` it can neither run a script nor ask for anything.
    Svg,
}

/// A logo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    picture: Picture,
    bytes: Arc<[u8]>,
}

/// How the page of one sender looks. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    style: String,
    logo: Option<String>,
    policy: String,
}

/// Why a colour or a logo cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LookError {
    /// No colour.
    #[error("\"{0}\" is no colour; write red, green and blue in hex: \"#0b4f9e\"")]
    NoColour(String),
    /// It cannot be told from the page.
    #[error(
        "{colour} is too light: its contrast with the page is {contrast:.1}:1, and needs 3:1 (WCAG 1.4.11)"
    )]
    TooLight {
        /// As it was given.
        colour: String,
        /// What it has.
        contrast: f64,
    },
    /// No picture that is known.
    #[error("is no PNG, JPEG, GIF, WebP or SVG picture")]
    NoPicture,
    /// Too large.
    #[error("has {octets} octets; a logo is part of the page itself, and may have {MAX_LOGO}")]
    TooLarge {
        /// What it has.
        octets: usize,
    },
}

impl Colour {
    /// Read `#0b4f9e`; it must stand out from a white page.
    pub fn parse(text: &str) -> Result<Self, LookError> {
        let wrong = || LookError::NoColour(text.to_owned());
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or_else(wrong)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let number = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        let [_, red, green, blue] = number.to_be_bytes();
        let colour = Self([red, green, blue]);
        let contrast = colour.contrast(WHITE);
        if contrast < SHAPE {
            return Err(LookError::TooLight { colour: text.to_owned(), contrast });
        }
        Ok(colour)
    }

    /// Relative luminance (WCAG 2.2, definition of that name).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Contrast ratio, from 1 to 21 (WCAG 2.2).
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Black or white, whichever can be read better on it.
    fn text(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(BLACK) { WHITE } else { BLACK }
    }

    /// The same hue, light enough for the dark page.
    fn at_night(self) -> Self {
        let mut colour = self;
        for share in 1..=20u16 {
            if colour.contrast(NIGHT) >= TEXT && colour.contrast(colour.text()) >= TEXT {
                break;
            }
            colour = Self(self.0.map(|part| {
                let room = u16::from(255 - part);
                part + u8::try_from(room * share / 20).unwrap_or(0)
            }));
        }
        colour
    }

    /// The same hue, dark enough that its text can be read.
    fn by_day(self) -> Self {
        let mut colour = self;
        for share in 1..=20u16 {
            if colour.contrast(colour.text()) >= TEXT {
                break;
            }
            colour = Self(self.0.map(|part| u8::try_from(u16::from(part) * (20 - share) / 20).unwrap_or(0)));
        }
        colour
    }

    fn hex(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Logo {
    /// Take a picture for what its first octets say it is.
    pub fn new(bytes: Vec<u8>) -> Result<Self, LookError> {
        if bytes.len() > MAX_LOGO {
            return Err(LookError::TooLarge { octets: bytes.len() });
        }
        let text = String::from_utf8_lossy(&bytes);
        let picture = match &bytes[..] {
            [0x89, b'P', b'N', b'G', ..] => Picture::Png,
            [0xff, 0xd8, 0xff, ..] => Picture::Jpeg,
            [b'G', b'I', b'F', b'8', ..] => Picture::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Picture::Webp,
            _ if text.trim_start().starts_with('<') && text.contains("<svg") => Picture::Svg,
            _ => return Err(LookError::NoPicture),
        };
        Ok(Self { picture, bytes: bytes.into() })
    }

    fn url(&self) -> String {
        let kind = match self.picture {
            Picture::Png => "image/png",
            Picture::Jpeg => "image/jpeg",
            Picture::Gif => "image/gif",
            Picture::Webp => "image/webp",
            Picture::Svg => "image/svg+xml",
        };
        format!("data:{kind};base64,{}", BASE64_STANDARD.encode(&self.bytes))
    }
}

impl Look {
    /// A page in `colour`, with `logo` above its heading.
    pub fn new(colour: Option<Colour>, logo: Option<&Logo>) -> Self {
        let colour = colour.unwrap_or(OWN);
        let (day, night) = (colour.by_day(), colour.at_night());
        let mut style =
            format!(":root{{color-scheme:light dark;--b:{};--t:{}}}{STYLE}", day.hex(), day.text().hex());
        // Writing to a string cannot fail.
        let _ = write!(
            style,
            "@media(prefers-color-scheme:dark){{:root{{--b:{};--t:{}}}}}",
            night.hex(),
            night.text().hex()
        );
        let hash = BASE64_STANDARD.encode(digest(&SHA256, style.as_bytes()));
        let pictures = if logo.is_some() { " img-src data:;" } else { "" };
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}';{pictures} form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        Self { inner: Arc::new(Inner { style, logo: logo.map(Logo::url), policy }) }
    }

    /// The style sheet.
    pub(super) fn style(&self) -> &str {
        &self.inner.style
    }

    /// The logo, as a `data:` URL.
    pub(super) fn logo(&self) -> Option<&str> {
        self.inner.logo.as_deref()
    }

    /// What a browser may do with the page: show it with its one style sheet, and send its form back to us.
    pub(super) fn policy(&self) -> &str {
        &self.inner.policy
    }
}

impl Default for Look {
    fn default() -> Self {
        Self::new(None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l9_every_colour_that_is_taken_can_be_read_by_day_and_by_night() {
        for text in ["#0b4f9e", "#000000", "#c8102e", "#e4572e", "#767676", "#6a1b9a", "#00854a", "#8a8d00"] {
            let colour = Colour::parse(text).unwrap();
            for (shown, ground) in [(colour.by_day(), WHITE), (colour.at_night(), NIGHT)] {
                assert!(shown.contrast(shown.text()) >= TEXT, "{text}: {shown:?}");
                assert!(shown.contrast(ground) >= SHAPE, "{text}: {shown:?}");
            }
        }
    }

    #[test]
    fn l9_a_colour_that_cannot_be_seen_is_refused_with_its_contrast() {
        assert!((WHITE.contrast(Colour([0; 3])) - 21.0).abs() < 0.01);
        let error = Colour::parse("#ffd500").unwrap_err().to_string();
        assert!(error.contains("too light") && error.contains("1.4:1"), "{error}");
        for wrong in ["red", "#fff", "#12345g", "0b4f9e", "#+12345"] {
            assert!(matches!(Colour::parse(wrong), Err(LookError::NoColour(_))), "{wrong}");
        }
    }

    #[test]
    fn a_logo_is_what_its_octets_say() {
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec();
        assert!(Logo::new(svg).unwrap().url().starts_with("data:image/svg+xml;base64,"));
        assert_eq!(Logo::new(b"<html>".to_vec()), Err(LookError::NoPicture));
        assert_eq!(Logo::new(vec![0; MAX_LOGO + 1]), Err(LookError::TooLarge { octets: MAX_LOGO + 1 }));
    }
}
