//! The keywords of EHLO (RFC 5321 4.1.1.1): ours as lines, a next hop's as a value.

/// What a server said it can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// SIZE was offered (RFC 1870).
    pub size_offered: bool,
    /// The limit of SIZE in octets, when one was given; 0 means none, and is not kept.
    pub size: Option<u64>,
    /// AUTH mechanisms in upper case (RFC 4954); empty when AUTH was not offered.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// Read the lines of a 250 reply to EHLO; the first is the greeting. What is not known is skipped.
    pub fn parse(lines: &[String]) -> Self {
        let mut found = Self::default();
        for line in lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "CHUNKING" => found.chunking = true,
                "ENHANCEDSTATUSCODES" => found.enhanced = true,
                "DSN" => found.dsn = true,
                "STARTTLS" => found.starttls = true,
                "SIZE" => {
                    found.size_offered = true;
                    found.size = words.next().and_then(|limit| limit.parse().ok()).filter(|&limit| limit > 0);
                }
                "AUTH" => found.add_auth(words),
                // The form of old Microsoft servers: AUTH=LOGIN PLAIN.
                other if other.starts_with("AUTH=") => {
                    found.add_auth(other["AUTH=".len()..].split_ascii_whitespace().chain(words));
                }
                _ => {}
            }
        }
        found
    }

    fn add_auth<'a>(&mut self, mechanisms: impl Iterator<Item = &'a str>) {
        for mechanism in mechanisms.map(str::to_ascii_uppercase) {
            if !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
            }
        }
    }

    /// The lines of our own EHLO reply, `hostname` first.
    pub fn lines(&self, hostname: &str) -> Vec<String> {
        let mut lines = vec![hostname.to_owned()];
        let flags = [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.chunking, "CHUNKING"),
            (self.enhanced, "ENHANCEDSTATUSCODES"),
            (self.dsn, "DSN"),
            (self.starttls, "STARTTLS"),
        ];
        lines.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, keyword)| keyword.to_owned()));
        match self.size {
            Some(limit) => lines.push(format!("SIZE {limit}")),
            None if self.size_offered => lines.push("SIZE".to_owned()),
            None => {}
        }
        if !self.auth.is_empty() {
            lines.push(format!("AUTH {}", self.auth.join(" ")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Capabilities {
        Capabilities::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_servers_say() {
        let found = parse(
            "mx.example hello\nPIPELINING\nsize 1000\nAUTH plain LOGIN\nAUTH=LOGIN XOAUTH2\nX-FOO 1\n8bitmime",
        );
        assert!(found.pipelining && found.eight_bit && !found.chunking);
        assert_eq!(found.size, Some(1000));
        assert_eq!(found.auth, ["PLAIN", "LOGIN", "XOAUTH2"]);
        assert_eq!(parse("PIPELINING"), Capabilities::default(), "the first line is the greeting");
        assert_eq!(parse("h\nSIZE 0").size, None);
        assert!(parse("h\nSIZE").size_offered);
    }

    #[test]
    fn ours_read_back() {
        let ours = Capabilities {
            pipelining: true,
            eight_bit: true,
            smtputf8: true,
            chunking: true,
            enhanced: true,
            dsn: true,
            starttls: true,
            size_offered: true,
            size: Some(42),
            auth: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
        };
        assert_eq!(Capabilities::parse(&ours.lines("mx.example")), ours);
    }
}
