//! Sizes and durations as people write them: `35 MiB`, `30s`, `5 days`.

use std::time::Duration;

/// Octets from `64 KiB`, `25 MB`, `10 GiB`, `512`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A duration from `500ms`, `30s`, `5 min`, `1h`, `5 days`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// The inverse of [`duration`], for messages.
pub(super) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// The inverse of [`size`], for messages.
pub(super) fn show_size(octets: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if octets >= 1 << shift && octets.is_multiple_of(1 << shift) {
            return format!("{} {unit}", octets >> shift);
        }
    }
    octets.to_string()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_round_trip() {
        for (text, octets) in [("64 KiB", 65_536), ("25MB", 25_000_000), ("512", 512), ("10 GiB", 10 << 30)] {
            assert_eq!(size(text), Some(octets), "{text}");
            assert_eq!(size(&show_size(octets)), Some(octets));
        }
        for (text, seconds) in [("30s", 30), ("5 min", 300), ("1h", 3_600), ("5 days", 432_000)] {
            let parsed = duration(text).unwrap();
            assert_eq!(parsed.as_secs(), seconds, "{text}");
            assert_eq!(duration(&show_duration(parsed)), Some(parsed));
        }
        for text in ["", "s", "-1s", "1.5h", "5 weeks", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "MiB", "1 TB", "1mb", "18446744073709551615 GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
