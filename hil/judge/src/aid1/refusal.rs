//! What an answer of AID1 has to be: a success of its operation, or a refusal in the words of §5.5.

use super::mask;
use super::wire::Answer;
use crate::test::Finding;
use serde_json::Value;

/// Codes and descriptions of tables 9 and 10 (AID.02 §5.5), word for word, the misspelt one too.
const TABLE: [(u16, &str); 33] = [
    (10, "The account ID was not found"),
    (11, "The account ID was found but is no longer valid"),
    (12, "The account ID has an invalid signature"),
    (19, "Other account ID error"),
    (20, "The msp_token was not found"),
    (21, "The msp_token was found but is no longer valid"),
    (23, "The msp_token is already assigned to a user"),
    (24, "The user already has a msp_token"),
    (29, "Other msp_token id error"),
    (30, "The specified request ID was not found"),
    (
        31,
        "The specified Request ID was found but is no longer valid",
    ),
    (39, "Other request ID error"),
    (44, "Other format error of activation code"),
    (47, "The activation code has an invalid format"),
    (
        48,
        "The msp_token already has an activation code assigned to it",
    ),
    (49, "Other activation code error"),
    (50, "Profile type unknown"),
    (
        51,
        "The specified profile type is unsupported for this request",
    ),
    (59, "Other profile type error"),
    (60, "The request body is empty or contains null values"),
    (61, "The profile with the ICCID "),
    (62, "The profile with the ICCID "),
    (63, "The profile with the ICCID "),
    (64, "None of the profiles could be processed"),
    (
        65,
        "The msp_token identified by the federated_id or the profile(s) identified by the ICCID could not be found",
    ),
    (90, "Internal Server Error"),
    (91, "Invalid request syntax"),
    (92, "The correlation-id does not match"),
    (93, "The MSP with the MSP identifier "),
    (
        94,
        "The user identified by the account id could not be found",
    ),
    (100, "Unspecified CMP content error"),
    (101, "User login not possible on CMP side"),
    (102, "Onboarding aborted by user"),
];

/// Codes that a body may have beside the table: of the examples of Annex B, and 103, whose text is misspelt in the table.
const OTHERS: [u16; 2] = [103, 104];

/// The description of a code, or its beginning; none: the table does not have it.
pub(crate) fn table(code: u16) -> Option<&'static str> {
    let mut rows = TABLE.iter();
    let row = rows.find(|(number, _)| *number == code);
    row.map(|(_, text)| *text)
}

/// An answer in one line: status, and body where it has one.
pub(crate) fn seen(answer: &Answer) -> String {
    let status = answer.status;
    if answer.body.is_empty() {
        return format!("{status} without a body");
    }
    let body = String::from_utf8_lossy(&answer.body);
    let mut text: String = mask::text(&body).chars().take(200).collect();
    if body.chars().count() > 200 {
        text.push('…');
    }
    format!("{status} {text}")
}

/// The code of a refusal, if it has the form of §5.5.
pub(crate) fn code_of(answer: &Answer) -> Option<u16> {
    answer.json()?.get("code")?.as_str()?.parse().ok()
}

/// The body of a refusal is that of §5.5: JSON, `code` a text, `error` a text.
pub(crate) fn agreed_body(answer: &Answer) -> Result<(), Finding> {
    let wrong = |what: &str| {
        Err(Finding::broken(
            "a JSON body with code (string) and error (string) in every answer that is not 2xx",
            format!("{what}: {}", seen(answer)),
        ))
    };
    let Some(Value::Object(body)) = answer.json() else {
        return wrong("no JSON object");
    };
    if !body.get("code").is_some_and(Value::is_string) {
        return wrong("code is no text");
    }
    if !body.get("error").is_some_and(Value::is_string) {
        return wrong("error is no text");
    }
    if answer.content_type() != super::JSON {
        return wrong(&format!("content-type {:?}", answer.content_type()));
    }
    Ok(())
}

/// A code that a peer may use: of the table, of the examples, of the reserved range, or 1000 as in the examples of §7.3.
pub(crate) fn known(code: u16) -> bool {
    table(code).is_some() || OTHERS.contains(&code) || (200..=300).contains(&code) || code == 1000
}

/// A success: the call was expected to be taken.
pub(crate) fn accepted(answer: &Answer, status: u16, what: &str) -> Result<(), Finding> {
    if answer.status == status {
        Ok(())
    } else {
        Err(Finding::broken(format!("{status} to {what}"), seen(answer)))
    }
}

/// A success without a body, where the operation has none (R-B-8).
pub(crate) fn silent_success(answer: &Answer, status: u16, what: &str) -> Result<(), Finding> {
    accepted(answer, status, what)?;
    match answer.body.is_empty() {
        true => Ok(()),
        false => Err(Finding::broken(
            format!("{status} without a body to {what}"),
            seen(answer),
        )),
    }
}

/// A refusal: any 4xx in the words of §5.5. Refusals for other reasons than `what` (429, 408) hide the verdict.
pub(crate) fn refused(answer: &Answer, what: &str) -> Result<(), Finding> {
    match answer.status {
        408 | 429 | 502..=504 => Err(Finding::Hidden(format!(
            "the call with {what} was not judged by the target: {}",
            seen(answer)
        ))),
        400..=499 => agreed_body(answer),
        _ => Err(Finding::broken(
            format!("a refusal (4xx) of {what}"),
            seen(answer),
        )),
    }
}

/// A refusal with one of these statuses, and with one of these codes where any are given.
pub(crate) fn refused_as(
    answer: &Answer,
    what: &str,
    statuses: &[u16],
    codes: &[u16],
) -> Result<(), Finding> {
    let expected = || {
        let list = |numbers: &[u16]| {
            let texts: Vec<_> = numbers.iter().map(u16::to_string).collect();
            texts.join(" or ")
        };
        let mut text = format!("{} to {what}", list(statuses));
        if !codes.is_empty() {
            text.push_str(&format!(", with code {}", list(codes)));
        }
        text
    };
    match refused(answer, what) {
        // The more exact expectation is the better word.
        Err(Finding::Broken { seen, .. }) if !statuses.contains(&answer.status) => {
            return Err(Finding::broken(expected(), seen));
        }
        other => other?,
    }
    let fits = codes.is_empty() || code_of(answer).is_some_and(|code| codes.contains(&code));
    if statuses.contains(&answer.status) && fits {
        Ok(())
    } else {
        Err(Finding::broken(expected(), seen(answer)))
    }
}

/// `error` begins with the table's words for its code.
pub(crate) fn first_words(answer: &Answer) -> Result<(), Finding> {
    agreed_body(answer)?;
    let body = answer.json().unwrap_or_default();
    let (code, error) = (code_of(answer), body["error"].as_str().unwrap_or_default());
    let Some(words) = code.and_then(table) else {
        return Ok(());
    };
    if error.starts_with(words) {
        Ok(())
    } else {
        Err(Finding::broken(
            format!("error begins with {words:?}, the description of its code"),
            seen(answer),
        ))
    }
}

/// The code is one that the specification has, and no placeholder was left in the text.
pub(crate) fn known_code(answer: &Answer) -> Result<(), Finding> {
    agreed_body(answer)?;
    match code_of(answer) {
        Some(code) if known(code) => Ok(()),
        _ => Err(Finding::broken(
            "a code of tables 9 and 10, or one from 200 to 300",
            seen(answer),
        )),
    }
}
