//! What a function of ES2+ or ES9+ came to: SGP.22 §5.2.6, §6.5.1.

use crate::rsp::findings::Checked;
use crate::rsp::http::Answer;
use crate::test::Finding;
use serde_json::Value;

/// What a function came to: executed, or refused with its codes.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    /// The whole answer.
    pub(super) json: Value,
    /// Subject and reason, where it was not executed; empty where the answer does not say.
    pub(super) refusal: Option<(String, String)>,
}

impl Spoken {
    /// Reads an answer: its JSON and its status.
    pub(super) fn read(function: &str, answer: &Answer) -> Checked<Self> {
        let json = answer.json().ok_or_else(|| {
            Finding::broken(
                format!("{function}: a JSON body (SGP.22 §6.5)"),
                format!(
                    "HTTP status {} with a body of {} bytes",
                    answer.status,
                    answer.body.len()
                ),
            )
        })?;
        let status = &json["header"]["functionExecutionStatus"];
        let word = status["status"].as_str().ok_or_else(|| {
            Finding::broken(
                format!("{function}: header.functionExecutionStatus.status (SGP.22 §6.5.1.4)"),
                format!("HTTP status {}: {}", answer.status, short(&json)),
            )
        })?;
        let code = |name: &str| {
            let text = status["statusCodeData"][name].as_str();
            text.unwrap_or_default().to_owned()
        };
        let refusal = match word {
            "Executed-Success" | "Executed-WithWarning" => None,
            _ => Some((code("subjectCode"), code("reasonCode"))),
        };
        Ok(Self { json, refusal })
    }

    /// The answer, which must be an execution.
    pub(super) fn executed(self, what: &str) -> Checked<Value> {
        match self.refusal {
            None => Ok(self.json),
            Some(codes) => Err(Finding::broken(
                format!("{what}: Executed-Success"),
                format!("Failed, {}/{}", codes.0, codes.1),
            )),
        }
    }

    /// The call must be refused with one of these pairs of codes.
    pub(super) fn refused(&self, what: &str, allowed: &[(&str, &str)]) -> Checked {
        let wanted: Vec<String> = allowed.iter().map(|(s, r)| format!("{s}/{r}")).collect();
        let expected = format!("{what}: Failed with {}", wanted.join(" or "));
        match &self.refusal {
            None => Err(Finding::broken(expected, "Executed-Success")),
            Some((s, r)) if allowed.contains(&(s.as_str(), r.as_str())) => Ok(()),
            Some((s, r)) => Err(Finding::broken(expected, format!("Failed with {s}/{r}"))),
        }
    }

    /// The call must be refused, whatever the codes.
    pub(super) fn refused_somehow(&self, what: &str) -> Checked {
        match self.refusal {
            Some(_) => Ok(()),
            None => Err(Finding::broken(
                format!("{what}: Failed"),
                "Executed-Success",
            )),
        }
    }
}

/// A typed answer of ES9+.
#[derive(Debug, Clone)]
pub(super) struct Said<T> {
    pub(super) spoken: Spoken,
    pub(super) output: Option<T>,
}

impl<T: serde::de::DeserializeOwned> Said<T> {
    pub(super) fn read(path: &str, answer: &Answer) -> Checked<Self> {
        let function = path.rsplit('/').next().unwrap_or(path);
        let spoken = Spoken::read(function, answer)?;
        let output = match spoken.refusal {
            Some(_) => None,
            None => Some(serde_json::from_value(spoken.json.clone()).map_err(|e| {
                Finding::broken(
                    format!("{function}: its output as SGP.22 §6.5.2 has it"),
                    e.to_string(),
                )
            })?),
        };
        Ok(Self { spoken, output })
    }

    /// The output, which must be there.
    pub(super) fn executed(self, what: &str) -> Checked<T> {
        match self.output {
            Some(output) => Ok(output),
            None => {
                self.spoken.executed(what)?;
                Err(Finding::broken(format!("{what}: its output"), "none"))
            }
        }
    }
}

/// The begin of a JSON value.
fn short(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}
