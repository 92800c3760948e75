//! Reads the members of a JSON object and says precisely what is wrong with one.

use std::fmt;

use aid_id::Iccid;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::MAX_TEXT;
use crate::error_code::{ApiError, ErrorCode, MAX_ERROR_TEXT, clean};

/// Which ICCIDs a partner may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Iccids {
    /// Those of AID.02 §5.4: 19 to 22 digits.
    #[default]
    Standard,
    /// Those of 18 digits too, which SGP.22 has and the field issues: where it was agreed with the partner.
    Short,
}

impl Iccids {
    /// Whether an ICCID may be named.
    #[must_use]
    pub fn allow(self, iccid: &Iccid) -> bool {
        self == Self::Short || iccid.as_str().len() >= STANDARD_DIGITS
    }

    /// The ICCID in a text, if it is one that may be named.
    #[must_use]
    pub fn read(self, text: &str) -> Option<Iccid> {
        text.parse().ok().filter(|iccid| self.allow(iccid))
    }

    /// Those that may be named, in words.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Standard => "19 to 22 digits",
            Self::Short => "18 to 22 digits",
        }
    }
}

/// Digits of the shortest ICCID of AID.02 §5.4.
const STANDARD_DIGITS: usize = 19;

/// The members of a body.
#[derive(Clone, Debug)]
pub struct Members {
    map: Map<String, Value>,
    iccids: Iccids,
}

impl Members {
    /// Takes an object that was read strictly.
    #[must_use]
    pub fn new(map: Map<String, Value>) -> Self {
        Self {
            map,
            iccids: Iccids::Standard,
        }
    }

    /// The same, with these ICCIDs.
    #[must_use]
    pub fn with_iccids(self, iccids: Iccids) -> Self {
        Self { iccids, ..self }
    }

    /// Which ICCIDs may stand in them.
    pub(crate) fn iccids(&self) -> Iccids {
        self.iccids
    }

    /// All of them.
    pub(crate) fn all(&self) -> &Map<String, Value> {
        &self.map
    }

    /// Demands that these members are there, whatever their value.
    ///
    /// # Errors
    /// Code 60.
    pub fn require(&self, names: &[&str]) -> Result<(), ApiError> {
        match names.iter().find(|name| !self.map.contains_key(**name)) {
            None => Ok(()),
            Some(name) => Err(refuse(ErrorCode::BodyEmptyOrNull, name, "is missing")),
        }
    }

    /// The value of a member, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    /// A text that must be there and not null.
    ///
    /// # Errors
    /// Code 60 if missing or null, `wrong` if no string.
    pub fn text(&self, name: &str, wrong: ErrorCode) -> Result<&str, ApiError> {
        self.nullable_text(name, wrong)?
            .ok_or_else(|| refuse(ErrorCode::BodyEmptyOrNull, name, "is null"))
    }

    /// A text that must be there but may be null.
    fn nullable_text(&self, name: &str, wrong: ErrorCode) -> Result<Option<&str>, ApiError> {
        match self.map.get(name) {
            None => Err(refuse(ErrorCode::BodyEmptyOrNull, name, "is missing")),
            Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refuse(wrong, name, "is not a string")),
        }
    }

    /// The value of an optional member. Null, an empty text and absence mean the same: it is not given.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&Value> {
        match self.map.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            given => given,
        }
    }

    /// An optional free text; cleaned and cut to [`MAX_TEXT`] characters. `None` where it is not [`Members::given`].
    ///
    /// # Errors
    /// Code 91 if it is no string.
    pub fn optional_text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(clean(text, MAX_TEXT))),
            Some(_) => Err(refuse(ErrorCode::Syntax, name, "is not a string")),
        }
    }

    /// The member `error` of a body that carries a result or an error; cleaned and cut to [`MAX_ERROR_TEXT`]
    /// characters. `None` where it is not [`Members::given`]: the body is a success.
    ///
    /// # Errors
    /// Code 91 if it is no string, or white space only: nobody can tell whether that is a failure.
    pub fn error(&self) -> Result<Option<String>, ApiError> {
        match self.given("error") {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Err(refuse(
                ErrorCode::Syntax,
                "error",
                "has white space only; send null with a success",
            )),
            Some(Value::String(text)) => Ok(Some(clean(text, MAX_ERROR_TEXT))),
            Some(_) => Err(refuse(ErrorCode::Syntax, "error", "is not a string")),
        }
    }

    /// A text in the form of some type.
    ///
    /// # Errors
    /// As [`Members::text`]; `wrong` with the type's own words if it has another form.
    pub fn parsed<T>(&self, name: &str, wrong: ErrorCode) -> Result<T, ApiError>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        self.text(name, wrong)?
            .parse()
            .map_err(|error| refuse(wrong, name, error))
    }

    /// A UUID.
    ///
    /// # Errors
    /// As [`Members::parsed`].
    pub fn uuid(&self, name: &str, wrong: ErrorCode) -> Result<Uuid, ApiError> {
        crate::headers::uuid(self.text(name, wrong)?)
            .ok_or_else(|| refuse(wrong, name, "is not a UUID"))
    }

    /// An ICCID (AID.02 §5.4, [`Iccids`]) that must be [`Members::given`].
    ///
    /// # Errors
    /// Code 60 if it is not given, 91 if it has another form.
    pub fn iccid(&self, name: &str) -> Result<Iccid, ApiError> {
        self.optional_iccid(name)?.ok_or_else(|| {
            refuse(
                ErrorCode::BodyEmptyOrNull,
                name,
                "is missing, null or empty",
            )
        })
    }

    /// An optional ICCID. `None` where it is not [`Members::given`].
    ///
    /// # Errors
    /// Code 91 if it has another form.
    pub fn optional_iccid(&self, name: &str) -> Result<Option<Iccid>, ApiError> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::String(text)) => match self.iccids.read(text) {
                Some(iccid) => Ok(Some(iccid)),
                None => {
                    let what = format_args!("is not {}", self.iccids.form());
                    Err(refuse(ErrorCode::Syntax, name, what))
                }
            },
            Some(_) => Err(refuse(ErrorCode::Syntax, name, "is not a string")),
        }
    }

    /// The objects of an array that must be there.
    ///
    /// # Errors
    /// Code 60 if missing or null, 91 if no array or with something else than objects in it.
    pub fn objects(&self, name: &str) -> Result<Vec<Self>, ApiError> {
        match self.map.get(name) {
            None | Some(Value::Null) => Err(refuse(
                ErrorCode::BodyEmptyOrNull,
                name,
                "is missing or null",
            )),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::Object(map) => Ok(Self::new(map.clone()).with_iccids(self.iccids)),
                    _ => Err(refuse(
                        ErrorCode::Syntax,
                        name,
                        "has an item that is not an object",
                    )),
                })
                .collect(),
            Some(_) => Err(refuse(ErrorCode::Syntax, name, "is not an array")),
        }
    }
}

/// The `error` of a body that says that something failed, as it goes onto the wire. It is never blank, because the
/// receiver would take that for a success; `otherwise` stands for a reason that nobody gave.
pub(super) fn sent_error(error: &str, otherwise: ErrorCode) -> String {
    if error.trim().is_empty() {
        format!("{otherwise}: {}", otherwise.description())
    } else {
        clean(error, MAX_ERROR_TEXT)
    }
}

/// A free text as it goes onto the wire: null where there is none.
pub(super) fn sent_text(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// A refusal that names the member.
pub(super) fn refuse(code: ErrorCode, name: &str, what: impl fmt::Display) -> ApiError {
    ApiError::because(code, format_args!("the member {name} {what}"))
}

/// An enum whose values are words on the wire.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All words.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, &'static str> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(concat!("is none of", $(" ", $word),+)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(super) use words;
