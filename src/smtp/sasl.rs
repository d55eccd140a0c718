//! Sign-in exchanges: PLAIN (RFC 4616) and LOGIN, the server's half and the client's (RFC 4954).
//!
//! Gives and takes base64; a password is a [`Secret`] from the moment it is decoded. Deliberately
//! absent: who the accounts are, and whether the session may sign in now.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Longest account name in octets.
const MAX_NAME: usize = 255;
/// Longest password in octets: more is no password, and hashing it would cost.
const MAX_PASSWORD: usize = 1024;

/// Some clients leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, as a client gave them.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: Secret,
}

/// An exchange that waits for the client's next line.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword(String),
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
    /// Begin. `initial` is the initial response as it was sent: base64, or `=` for an empty one.
    pub fn begin(mechanism: &str, initial: Option<&Secret>) -> Result<Step, SaslError> {
        let (exchange, challenge) = match mechanism {
            "PLAIN" => (Self(State::Plain), ""),
            // base64 of "Username:", which old clients compare word for word.
            "LOGIN" => (Self(State::LoginName), "VXNlcm5hbWU6"),
            _ => return Err(SaslError::Mechanism),
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
                Ok(Step::Credentials(Credentials { name, password: password(&decoded)? }))
            }
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
    Ok(Credentials { name: name(given)?, password: password(secret)? })
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
        assert_eq!(credentials(Exchange::begin("PLAIN", Some(&response))), expected);
        let Ok(Step::Challenge(exchange, "")) = Exchange::begin("PLAIN", None) else { panic!() };
        assert_eq!(credentials(exchange.respond(b"AGFubmEAZ2VoZWlt")), expected);
        let own = Secret::new(STANDARD.encode("anna\0anna\0geheim"));
        assert_eq!(credentials(Exchange::begin("PLAIN", Some(&own))), expected);
    }

    #[test]
    fn p4_login_by_steps() {
        let Ok(Step::Challenge(exchange, "VXNlcm5hbWU6")) = Exchange::begin("LOGIN", None) else { panic!() };
        let Ok(Step::Challenge(exchange, "UGFzc3dvcmQ6")) = exchange.respond(b"YW5uYQ==") else { panic!() };
        assert_eq!(credentials(exchange.respond(b"Z2VoZWlt")), ("anna".to_owned(), b"geheim".to_vec()));
        let name = Secret::new(&b"YW5uYQ"[..]);
        assert!(matches!(Exchange::begin("LOGIN", Some(&name)), Ok(Step::Challenge(_, "UGFzc3dvcmQ6"))));
    }

    #[test]
    fn p4_what_ends_an_exchange() {
        let begin = |text: &str| Exchange::begin("PLAIN", Some(&Secret::new(text.as_bytes()))).err();
        assert_eq!(begin("="), Some(SaslError::Malformed), "an empty PLAIN response");
        assert_eq!(begin("*"), Some(SaslError::Cancelled));
        assert_eq!(begin("!!!!"), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("anna\0geheim")), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("\0a\0b\0c")), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("\0\0geheim")), Some(SaslError::Malformed));
        assert_eq!(begin(&STANDARD.encode("boss\0anna\0geheim")), Some(SaslError::Authorization));
        assert_eq!(Exchange::begin("CRAM-MD5", None).err(), Some(SaslError::Mechanism));
    }

    #[test]
    fn both_halves_understand_each_other() {
        let mine = Credentials { name: "jürgen".to_owned(), password: Secret::new(&b"p w\xc3\xbc"[..]) };
        let theirs = Exchange::begin("PLAIN", Some(&plain_response(&mine)));
        assert_eq!(credentials(theirs), (mine.name.clone(), mine.password.expose().to_vec()));
        let [name, password] = login_responses(&mine);
        let Ok(Step::Challenge(exchange, _)) = Exchange::begin("LOGIN", Some(&name)) else { panic!() };
        assert_eq!(credentials(exchange.respond(password.expose())).1, mine.password.expose());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = Secret::new(&b"AGFubmEAZ2VoZWlt"[..]);
        let shown = format!("{:?}", Exchange::begin("PLAIN", Some(&secret)));
        assert!(!shown.contains("geheim"), "{shown}");
    }
}
