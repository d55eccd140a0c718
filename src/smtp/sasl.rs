//! Sign-in exchanges: PLAIN (RFC 4616), LOGIN, XOAUTH2 and OAUTHBEARER (RFC 7628), the server's half and the
//! client's (RFC 4954).
//!
//! Gives and takes base64; a password is a [`Secret`] from the moment it is decoded. Deliberately
//! absent: who the accounts are, and whether the session may sign in now.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::line::AUTH_LIMIT;
use crate::secret::Secret;

/// Longest account name in octets.
const MAX_NAME: usize = 255;
/// Longest password in octets: more is no password, and hashing it would cost.
const MAX_PASSWORD: usize = 1024;
/// Longest response with a bearer token in octets: what a line of its own holds in base64.
const MAX_BEARER: usize = (AUTH_LIMIT - 2) / 4 * 3;

/// Some clients leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Never specified, always there.
    Login,
    /// A bearer token as Google and Microsoft take it.
    XOauth2,
    /// RFC 7628.
    OauthBearer,
}

impl Mechanism {
    /// Those that carry a password.
    pub const PASSWORD: [Self; 2] = [Self::Plain, Self::Login];
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Login, Self::XOauth2, Self::OauthBearer];

    /// Its name in EHLO and AUTH.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// The one of this name, in upper case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// A name and a password, as a client gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account's name.
    pub name: String,
    /// Its password; for a bearer token the whole response that holds it.
    pub password: Secret,
    /// How they were given. A password may be passed on by PLAIN or LOGIN, a token by its own way only.
    pub mechanism: Mechanism,
}

/// An exchange that waits for the client's next line.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    Bearer(Mechanism),
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge (base64) with 334, and give the client's line to [`Exchange::respond`].
    Challenge(Exchange, &'static str),
    /// Check these.
    Credentials(Credentials),
}

/// Why an exchange ended without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// No such mechanism here.
    #[error("mechanism not offered")]
    Mechanism,
    /// The client sent `*`.
    #[error("cancelled by the client")]
    Cancelled,
    /// Not base64, or not what the mechanism asks for.
    #[error("malformed response")]
    Malformed,
    /// PLAIN with another authorization identity than the account's own.
    #[error("acting for another account is not allowed")]
    Authorization,
}

impl Exchange {
    /// Begin, if `mechanism` is among the `offered`. `initial` is the initial response as it was sent:
    /// base64, or `=` for an empty one.
    pub fn begin(
        mechanism: &str,
        offered: &[Mechanism],
        initial: Option<&Secret>,
    ) -> Result<Step, SaslError> {
        let mechanism = Mechanism::named(mechanism).filter(|one| offered.contains(one));
        let (exchange, challenge) = match mechanism.ok_or(SaslError::Mechanism)? {
            Mechanism::Plain => (Self(State::Plain), ""),
            // base64 of "Username:", which old clients compare word for word.
            Mechanism::Login => (Self(State::LoginName), "VXNlcm5hbWU6"),
            bearer @ (Mechanism::XOauth2 | Mechanism::OauthBearer) => (Self(State::Bearer(bearer)), ""),
        };
        match initial.map(Secret::expose) {
            None => Ok(Step::Challenge(exchange, challenge)),
            Some(b"=") => exchange.respond(b""),
            Some(initial) => exchange.respond(initial),
        }
    }

    /// Take the client's line, without its CRLF.
    pub fn respond(self, line: &[u8]) -> Result<Step, SaslError> {
        if line == b"*" {
            return Err(SaslError::Cancelled);
        }
        let line = line.trim_ascii_end();
        let decoded = Zeroizing::new(LENIENT.decode(line).map_err(|_| SaslError::Malformed)?);
        match self.0 {
            State::Plain => plain(&decoded).map(Step::Credentials),
            State::LoginName => {
                // base64 of "Password:".
                Ok(Step::Challenge(Self(State::LoginPassword(name(&decoded)?)), "UGFzc3dvcmQ6"))
            }
            State::LoginPassword(name) => {
                let mechanism = Mechanism::Login;
                Ok(Step::Credentials(Credentials { name, password: password(&decoded)?, mechanism }))
            }
            State::Bearer(mechanism) => bearer(mechanism, &decoded).map(Step::Credentials),
        }
    }
}

/// RFC 4616 2: `[authzid] NUL authcid NUL passwd`.
fn plain(decoded: &[u8]) -> Result<Credentials, SaslError> {
    let mut fields = decoded.split(|&byte| byte == 0);
    let (Some(acting), Some(given), Some(secret), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(SaslError::Malformed);
    };
    if !acting.is_empty() && acting != given {
        return Err(SaslError::Authorization);
    }
    Ok(Credentials { name: name(given)?, password: password(secret)?, mechanism: Mechanism::Plain })
}

/// `user=anna^Aauth=Bearer …^A^A` (XOAUTH2), or `n,a=anna,^Ahost=…^Aauth=Bearer …^A^A` (RFC 7628 3.1).
fn bearer(mechanism: Mechanism, decoded: &[u8]) -> Result<Credentials, SaslError> {
    let sound = decoded.len() <= MAX_BEARER && decoded.ends_with(b"\x01\x01");
    let text = std::str::from_utf8(decoded).ok().filter(|_| sound).ok_or(SaslError::Malformed)?;
    let (head, pairs) = text.split_once('\x01').ok_or(SaslError::Malformed)?;
    let has_token = pairs.split('\x01').any(|pair| {
        let scheme = pair.get(..12).unwrap_or_default();
        scheme.eq_ignore_ascii_case("auth=Bearer ") && pair.len() > 12
    });
    let user = match mechanism {
        Mechanism::XOauth2 => head.strip_prefix("user=").map(str::to_owned),
        // RFC 5801 4: in a name, "=2C" is a comma and "=3D" an equals sign.
        _ => head
            .strip_prefix("n,a=")
            .and_then(|rest| rest.strip_suffix(','))
            .map(|user| user.replace("=2C", ",").replace("=3D", "=")),
    };
    let user = user.filter(|_| has_token).ok_or(SaslError::Malformed)?;
    Ok(Credentials { name: name(user.as_bytes())?, password: Secret::new(decoded), mechanism })
}

fn name(bytes: &[u8]) -> Result<String, SaslError> {
    let name = std::str::from_utf8(bytes).map_err(|_| SaslError::Malformed)?;
    let sound = !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if sound { Ok(name.to_owned()) } else { Err(SaslError::Malformed) }
}

fn password(bytes: &[u8]) -> Result<Secret, SaslError> {
    if bytes.is_empty() || bytes.len() > MAX_PASSWORD || bytes.contains(&0) {
        return Err(SaslError::Malformed);
    }
    Ok(Secret::new(bytes))
}

/// The client's initial response with a bearer token, in base64: as it was given.
pub fn bearer_response(credentials: &Credentials) -> Secret {
    Secret::new(STANDARD.encode(credentials.password.expose()))
}

/// The client's initial response for PLAIN, in base64.
pub fn plain_response(credentials: &Credentials) -> Secret {
    let name = credentials.name.as_bytes();
    let plain = Zeroizing::new([b"\0", name, b"\0", credentials.password.expose()].concat());
    Secret::new(STANDARD.encode(&*plain))
}

/// The client's two answers for LOGIN, in base64: the name, then the password.
pub fn login_responses(credentials: &Credentials) -> [Secret; 2] {
    [
        Secret::new(STANDARD.encode(&credentials.name)),
        Secret::new(STANDARD.encode(credentials.password.expose())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(step: Result<Step, SaslError>) -> (String, Vec<u8>) {
        match step {
            Ok(Step::Credentials(found)) => (found.name, found.password.expose().to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn p4_plain_with_and_without_an_initial_response() {
        let response = Secret::new(&b"AGFubmEAZ2VoZWlt"[..]);
        let expected = ("anna".to_owned(), b"geheim".to_vec());
        assert_eq!(credentials(Exchange::begin("PLAIN", &Mechanism::PASSWORD, Some(&response))), expected);
        let Ok(Step::Challenge(exchange, "")) = Exchange::begin("PLAIN", &Mechanism::PASSWORD, None) else {
            panic!()
        };
        assert_eq!(credentials(exchange.respond(b"AGFubmEAZ2VoZWlt")), expected);
        let own = Secret::new(STANDARD.encode("anna\0anna\0geheim"));
        assert_eq!(credentials(Exchange::begin("PLAIN", &Mechanism::PASSWORD, Some(&own))), expected);
    }

    #[test]
    fn p4_login_by_steps() {
        let Ok(Step::Challenge(exchange, "VXNlcm5hbWU6")) =
            Exchange::begin("LOGIN", &Mechanism::PASSWORD, None)
        else {
            panic!()
        };
        let Ok(Step::Challenge(exchange, "UGFzc3dvcmQ6")) = exchange.respond(b"YW5uYQ==") else { panic!() };
        assert_eq!(credentials(exchange.respond(b"Z2VoZWlt")), ("anna".to_owned(), b"geheim".to_vec()));
        let name = Secret::new(&b"YW5uYQ"[..]);
        assert!(matches!(
            Exchange::begin("LOGIN", &Mechanism::PASSWORD, Some(&name)),
            Ok(Step::Challenge(_, "UGFzc3dvcmQ6"))
        ));
    }

    #[test]
    fn p4_what_ends_an_exchange() {
        let begin = |text: &str| {
            Exchange::begin("PLAIN", &Mechanism::PASSWORD, Some(&Secret::new(text.as_bytes()))).err()
        };
        assert_eq!(begin("="), Some(SaslError::Malformed), "an empty PLAIN response");
        assert_eq!(begin("*"), Some(SaslError::Cancelled));
        assert_eq!(begin("!!!!"), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("anna\0geheim")), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("\0a\0b\0c")), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("\0\0geheim")), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("boss\0anna\0geheim")), Some(SaslError::Authorization));
        assert_eq!(Exchange::begin("CRAM-MD5", &Mechanism::ALL, None).err(), Some(SaslError::Mechanism));
    }

    #[test]
    fn both_halves_understand_each_other() {
        let password = Secret::new(&b"p w\xc3\xbc"[..]);
        let mine = Credentials { name: "jürgen".to_owned(), password, mechanism: Mechanism::Plain };
        let theirs = Exchange::begin("PLAIN", &Mechanism::PASSWORD, Some(&plain_response(&mine)));
        assert_eq!(credentials(theirs), (mine.name.clone(), mine.password.expose().to_vec()));
        let [name, password] = login_responses(&mine);
        let Ok(Step::Challenge(exchange, _)) = Exchange::begin("LOGIN", &Mechanism::PASSWORD, Some(&name))
        else {
            panic!()
        };
        assert_eq!(credentials(exchange.respond(password.expose())).1, mine.password.expose());
    }

    #[test]
    fn p4_bearer_tokens_pass_as_they_are() {
        let begin = |mechanism: &str, offered: &[Mechanism], text: &str| {
            Exchange::begin(mechanism, offered, Some(&Secret::new(STANDARD.encode(text))))
        };
        let all = &Mechanism::ALL;
        let xoauth2 = "user=anna@example.nl\x01auth=Bearer ya29.token\x01\x01";
        let bearer = "n,a=an=2Cna=3D@example.nl,\x01host=smtp.example\x01port=587\x01auth=bearer tok\x01\x01";
        for (mechanism, text, user) in
            [("XOAUTH2", xoauth2, "anna@example.nl"), ("OAUTHBEARER", bearer, "an,na=@example.nl")]
        {
            let Ok(Step::Credentials(found)) = begin(mechanism, all, text) else { panic!("{mechanism}") };
            assert_eq!((found.name.as_str(), found.password.expose()), (user, text.as_bytes()));
            assert_eq!(bearer_response(&found).expose(), STANDARD.encode(text).as_bytes());
            assert_eq!(begin(mechanism, &Mechanism::PASSWORD, text).err(), Some(SaslError::Mechanism));
            let Ok(Step::Challenge(exchange, "")) = Exchange::begin(mechanism, all, None) else { panic!() };
            assert!(matches!(exchange.respond(STANDARD.encode(text).as_bytes()), Ok(Step::Credentials(_))));
        }
        for broken in [
            "user=anna\x01auth=Bearer token\x01",
            "user=anna\x01auth=Bearer \x01\x01",
            "user=\x01auth=Bearer token\x01\x01",
            "anna\x01auth=Bearer token\x01\x01",
            "user=anna\x01auth=Basic token\x01\x01",
            "n,a=anna,\x01auth=Bearer token\x01\x01",
        ] {
            assert_eq!(begin("XOAUTH2", all, broken).err(), Some(SaslError::Malformed), "{broken:?}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = Secret::new(&b"AGFubmEAZ2VoZWlt"[..]);
        let shown = format!("{:?}", Exchange::begin("PLAIN", &Mechanism::PASSWORD, Some(&secret)));
        assert!(!shown.contains("geheim"), "{shown}");
    }
}
