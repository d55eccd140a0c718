//! Dates as files have them. Which of day and month comes first is told by the file, not by the row.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// Which number of `01/02/2026` is the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(in crate::cli) enum Order {
    /// The first: the Netherlands and most of the world
    #[default]
    Dmy,
    /// The second: the United States
    Mdy,
}

/// What a file's dates have told so far of their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// Dates whose first number is over 12.
    pub day_first: u64,
    /// Dates whose second number is over 12.
    pub month_first: u64,
    /// Dates that can be read both ways.
    pub either: u64,
}

impl Seen {
    /// Look at one field.
    pub(super) fn look(&mut self, text: &str) {
        let Some((a, b, _)) = numbers(text.trim()).map(|(numbers, _)| numbers) else { return };
        match (a > 12, b > 12) {
            (true, false) => self.day_first += 1,
            (false, true) => self.month_first += 1,
            (false, false) if a != b => self.either += 1,
            _ => {}
        }
    }

    /// The order that the file has; the error says why nobody can know.
    pub(super) fn order(self) -> Result<Order, String> {
        match (self.day_first, self.month_first) {
            (_, 0) => Ok(Order::Dmy),
            (0, _) => Ok(Order::Mdy),
            (day, month) => Err(format!(
                "{day} dates have the day first and {month} the month; say which with --dates dmy or --dates mdy"
            )),
        }
    }
}

/// A moment: RFC 3339, or a local date and time in `zone`, in one of the forms that exports have.
///
/// # Errors
///
/// One line that says what would be right.
pub(in crate::cli) fn moment(text: &str, zone: &TimeZone, order: Order) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Some(moment) = with_offset(text).or_else(|| epoch(text)) {
        return Ok(moment);
    }
    let local = text.parse::<DateTime>().ok().or_else(|| in_figures(text, order)).or_else(|| in_words(text));
    let local = local.ok_or_else(|| {
        format!("\"{text}\" is no time; write 2026-03-01, 2026-03-01T14:30:00 or 2026-03-01T13:30:00Z")
    })?;
    zone.to_timestamp(local).map_err(|_| format!("\"{text}\" is out of range"))
}

/// `2026-03-01 14:30:00 +0100`, as Shopify writes it, and `2026-03-01 14:30:00 UTC`.
fn with_offset(text: &str) -> Option<Timestamp> {
    let (local, offset) = text.rsplit_once(' ')?;
    let local: DateTime = local.parse().ok()?;
    let minutes = match offset {
        "UTC" | "GMT" | "Z" => 0,
        _ => {
            let sign = match offset.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let digits = offset[1..].replace(':', "");
            if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            sign * (digits[..2].parse::<i32>().ok()? * 60 + digits[2..].parse::<i32>().ok()?)
        }
    };
    let offset = jiff::tz::Offset::from_seconds(minutes * 60).ok()?;
    offset.to_timestamp(local).ok()
}

/// Seconds or milliseconds since 1970, of 2001 or later: fewer digits are a number of something else.
fn epoch(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match text.len() {
        10 => Timestamp::from_second(text.parse().ok()?).ok(),
        13 => Timestamp::from_millisecond(text.parse().ok()?).ok(),
        _ => None,
    }
}

/// The three numbers of a date that begins with day or month, and what follows it.
fn numbers(text: &str) -> Option<((i8, i8, i16), &str)> {
    let (date, clock) = text.split_once([' ', 'T', ',']).unwrap_or((text, ""));
    let mut parts = date.split(['-', '/', '.']);
    let (a, b, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || a.is_empty() || a.len() > 2 {
        return None;
    }
    Some(((a.parse().ok()?, b.parse().ok()?, year.parse().ok()?), clock))
}

/// `01-03-2026`, `1/3/2026 14:30`, `03/01/2026 2:30 PM`.
fn in_figures(text: &str, order: Order) -> Option<DateTime> {
    let ((a, b, year), clock) = numbers(text)?;
    let (day, month) = match order {
        Order::Dmy => (a, b),
        Order::Mdy => (b, a),
    };
    Some(Date::new(year, month, day).ok()?.to_datetime(time_of_day(clock)?))
}

/// `14:30`, `14:30:15`, `2:30 pm`; nothing is the first moment.
fn time_of_day(text: &str) -> Option<Time> {
    let text = text.trim().trim_start_matches(',').trim().to_lowercase();
    let (text, shift) = match (text.strip_suffix("pm"), text.strip_suffix("am")) {
        (Some(rest), _) => (rest.trim().to_owned(), Some(12)),
        (_, Some(rest)) => (rest.trim().to_owned(), Some(0)),
        _ => (text, None),
    };
    if text.is_empty() {
        return shift.is_none().then_some(Time::midnight());
    }
    let mut parts = text.split(':').map(|part| part.split('.').next().unwrap_or(part));
    let mut next = || parts.next().map(str::parse::<i8>);
    let (hour, minute) = (next()?.ok()?, next()?.ok()?);
    let second = next().transpose().ok()?.unwrap_or(0);
    let hour = match shift {
        Some(shift) if (1..=12).contains(&hour) => hour % 12 + shift,
        Some(_) => return None,
        None => hour,
    };
    Time::new(hour, minute, second, 0).ok()
}

/// `3 maart 2026`, `Mar 3, 2026 2:30 PM`, `3-mrt-2026`.
fn in_words(text: &str) -> Option<DateTime> {
    let text = text.to_lowercase();
    let mut words = text.split([' ', ',', '-', '.']).filter(|word| !word.is_empty());
    let (a, b, c) = (words.next()?, words.next()?, words.next()?);
    let (day, month) = match (month(a), month(b)) {
        (Some(month), None) => (b, month),
        (None, Some(month)) => (a, month),
        _ => return None,
    };
    if c.len() != 4 {
        return None;
    }
    let clock = words.collect::<Vec<_>>().join(" ");
    Some(Date::new(c.parse().ok()?, month, day.parse().ok()?).ok()?.to_datetime(time_of_day(&clock)?))
}

fn month(word: &str) -> Option<i8> {
    const MONTHS: [&[&str]; 12] = [
        &["jan", "januari", "january", "januar", "janvier", "janv"],
        &["feb", "februari", "february", "februar", "février", "févr"],
        &["mrt", "mar", "maart", "march", "märz", "mär", "mars"],
        &["apr", "april", "avril", "avr"],
        &["mei", "may", "mai"],
        &["jun", "juni", "june", "juin"],
        &["jul", "juli", "july", "juillet", "juil"],
        &["aug", "augustus", "august", "août"],
        &["sep", "sept", "september", "septembre"],
        &["okt", "oct", "oktober", "october", "octobre"],
        &["nov", "november", "novembre"],
        &["dec", "december", "dez", "dezember", "déc", "décembre"],
    ];
    (1..).zip(MONTHS).find(|(_, names)| names.contains(&word)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Amsterdam").unwrap()
    }

    #[test]
    fn times_in_every_form_that_exports_have() {
        for (text, order, right) in [
            ("2026-03-01T13:30:00Z", Order::Dmy, "2026-03-01T13:30:00Z"),
            ("2026-03-01T13:30:00+01:00", Order::Dmy, "2026-03-01T12:30:00Z"),
            ("2026-03-01", Order::Dmy, "2026-02-28T23:00:00Z"),
            ("2026-07-01", Order::Dmy, "2026-06-30T22:00:00Z"),
            ("2026-03-01 14:30", Order::Dmy, "2026-03-01T13:30:00Z"),
            ("2026-03-01 14:30:15", Order::Mdy, "2026-03-01T13:30:15Z"),
            ("2026-03-01 14:30:15 +0100", Order::Dmy, "2026-03-01T13:30:15Z"),
            ("2026-03-01 14:30:15 -05:00", Order::Dmy, "2026-03-01T19:30:15Z"),
            ("2026-03-01 14:30:15 UTC", Order::Dmy, "2026-03-01T14:30:15Z"),
            ("01-03-2026", Order::Dmy, "2026-02-28T23:00:00Z"),
            ("1/3/2026 14:30", Order::Dmy, "2026-03-01T13:30:00Z"),
            ("03/01/2026 2:30 PM", Order::Mdy, "2026-03-01T13:30:00Z"),
            ("03/01/2026 12:05 am", Order::Mdy, "2026-02-28T23:05:00Z"),
            ("1.3.2026 14:30:15", Order::Dmy, "2026-03-01T13:30:15Z"),
            ("3 maart 2026", Order::Dmy, "2026-03-02T23:00:00Z"),
            ("3 mrt 2026 14:30", Order::Dmy, "2026-03-03T13:30:00Z"),
            ("3. März 2026", Order::Dmy, "2026-03-02T23:00:00Z"),
            ("1 févr. 2026 08:00", Order::Dmy, "2026-02-01T07:00:00Z"),
            ("Mar 3, 2026 2:30 PM", Order::Dmy, "2026-03-03T13:30:00Z"),
            ("1772371800", Order::Dmy, "2026-03-01T13:30:00Z"),
            ("1772371800000", Order::Dmy, "2026-03-01T13:30:00Z"),
        ] {
            assert_eq!(moment(text, &zone(), order).unwrap().to_string(), right, "{text}");
        }
        for text in [
            "",
            "gisteren",
            "2026-13-01",
            "31-02-2026",
            "01-03-26",
            "1-2-3-2026",
            "42",
            "1/3/2026 25:00",
            "13:00 pm",
        ] {
            assert!(moment(text, &zone(), Order::Dmy).is_err(), "{text}");
        }
        assert!(moment("13/01/2026", &zone(), Order::Mdy).is_err());
    }

    #[test]
    fn the_file_tells_which_number_is_the_day() {
        let seen = |dates: &[&str]| {
            let mut seen = Seen::default();
            dates.iter().for_each(|date| seen.look(date));
            seen
        };
        assert_eq!(seen(&["01/02/2026", "2026-01-31", "31/12/2025"]).order(), Ok(Order::Dmy));
        assert_eq!(seen(&["01/02/2026", "12/31/2025 10:00"]).order(), Ok(Order::Mdy));
        assert_eq!(seen(&["01/02/2026", "x", ""]), Seen { either: 1, ..Seen::default() });
        assert!(seen(&["12/31/2025", "31/12/2025"]).order().unwrap_err().contains("--dates"));
    }
}
