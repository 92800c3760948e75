use super::*;

fn list(patterns: &[&str]) -> AllowList {
    AllowList::new(patterns.iter().map(|p| p.parse().unwrap()).collect())
}

// R-7.1a-4: what a domain list must refuse beyond the vectors.
#[test]
fn the_rule_refuses_what_parsers_disagree_about() {
    let list = list(&["https://*.cmp.com", "cmpapp://"]);
    for good in [
        "https://www.cmp.com",
        "https://WWW.CMP.com/",
        "https://www.cmp.com/a%20b?x=y&x=z",
        "cmpapp://a?b=c",
    ] {
        assert!(list.check(good).is_ok(), "{good}");
    }
    for bad in [
        "http://www.cmp.com/",
        "https:/www.cmp.com/",
        "https:www.cmp.com",
        "https:///www.cmp.com",
        "https://www.cmp.com.",
        "https://www.cmp.com./",
        "https://www.cmp.com:/",
        "https://www.cmp.com:0443/",
        "https://www.cmp.com:65979/",
        "https://www.cmp.com#@evil.example",
        "https://evil.example#www.cmp.com",
        "https://www.cmp.com/#x",
        "https://[::1]/",
        "https://www.cmp.com\t/",
        "https://www.cmp.com/\n",
        "https://www_cmp.com/",
        "https://-.cmp.com/",
        "https://*.cmp.com/",
        "https://www.cmp.com/%",
        "https://www.cmp.com/%zz",
        "https://www.cmp.com/%+1",
        "https://www.cmp.com/%00",
        "https://www.cmp.com/?%69d=x",
        "https://www.cmp.com/?a=b;id=x",
        "https://www.cmp.com/?ID=x",
        "https://www.cmp.com/?error",
        "cmpapp:return",
        "cmpapp:/return",
        "cmpapp://a@b",
        "xcmpapp://a",
        "https://cmpapp://a",
        "wss://www.cmp.com/",
        "https://www.cmp.com\u{ad}/",
        "https://ẃww.cmp.com/",
        "https://www.cmp.com,evil.example/",
    ] {
        assert!(list.check(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pattern_may_fix_host_port_and_path() {
    let list = list(&[
        "https://localhost:4443/onboarding/return",
        "https://cmp.com",
    ]);
    assert!(
        list.check("https://localhost:4443/onboarding/return?state=x")
            .is_ok()
    );
    assert!(list.check("https://cmp.com/any").is_ok());
    for bad in [
        "https://localhost/onboarding/return",
        "https://localhost:4443/onboarding/return/",
        "https://localhost:4443/onboarding/../onboarding/return",
        "https://www.cmp.com/",
    ] {
        assert_eq!(list.check(bad), Err(RedirectError::NotAgreed));
    }
    for bad in [
        "*.cmp.com",
        "http://cmp.com",
        "https://*.com",
        "https://a.*.com",
        "javascript://",
        "https://",
        "app://x",
        "https://a?b",
    ] {
        assert!(bad.parse::<Pattern>().is_err(), "{bad}");
    }
    assert_eq!(
        AllowList::default().check("https://cmp.com/"),
        Err(RedirectError::NotAgreed)
    );
}

// R-5.5-7, R-7.2.2-2: each code of a redirect is one of table 10, its text encoded and without quotes.
#[test]
fn codes_of_redirects_are_those_of_the_table() {
    let list = list(&["https://*.msp.com"]);
    let uri = list.check("https://a.msp.com/return?foo=bar").unwrap();
    for (code, number) in [
        (ErrorCode::Content, "100"),
        (ErrorCode::Login, "101"),
        (ErrorCode::Aborted, "102"),
        (ErrorCode::Unavailable, "103"),
    ] {
        let text = uri.with_error(code);
        let (_, added) = text.split_once("?foo=bar&code=").unwrap();
        let (got, error) = added.split_once("&error=").unwrap();
        assert_eq!(got, number);
        assert_eq!(percent_decode(error), code.description());
        assert!(!error.contains(['"', ' ', '+', '&', '#']));
    }
    // No code leaves a placeholder of the table.
    for code in ErrorCode::ALL {
        assert!(!percent_decode(&uri.with_error(*code)).contains("%s"));
    }
}

// R-7.2-1, R-7.2.1-1, R-7.2.2-1, R-7.1b-3
#[test]
fn fields_are_appended_and_nothing_else_changes() {
    let list = list(&["https://*.msp.com"]);
    let uri = |text: &str| list.check(text).unwrap();
    let error = "code=102&error=Onboarding%20aborted%20by%20user";
    for (given, sep) in [
        ("https://a.msp.com", "?"),
        ("https://a.msp.com/return?", ""),
        ("https://a.msp.com/return?foo=b%20r", "&"),
        ("https://a.msp.com/return?foo&", ""),
    ] {
        assert_eq!(
            uri(given).with_error(ErrorCode::Aborted),
            format!("{given}{sep}{error}")
        );
    }
    assert_eq!(
        percent_encode("https://x/?a=b&c"),
        "https%3A%2F%2Fx%2F%3Fa%3Db%26c"
    );
}

// Each limit at its edge.
#[test]
fn limits_hold_to_the_character() {
    let all = list(&["https://*.cmp.com", "https://cmp.com", "cmpapp://"]);
    let of_length = |n: usize| {
        let start = "https://cmp.com/";
        format!("{start}{}", "a".repeat(n - start.len()))
    };
    assert!(all.check(&of_length(MAX_URI)).is_ok());
    assert_eq!(
        all.check(&of_length(MAX_URI + 1)),
        Err(RedirectError::Length)
    );
    assert_eq!(all.check(""), Err(RedirectError::Length));
    // Labels have 63 characters at most, names 253.
    let label = |n: usize| all.check(&format!("https://{}.cmp.com/", "a".repeat(n)));
    assert!(label(63).is_ok());
    assert_eq!(label(64), Err(RedirectError::Authority));
    // Each of its labels is short enough.
    let name = |first: usize| {
        let host = format!(
            "{}.{}",
            "b".repeat(first),
            format!("{}.", "a".repeat(59)).repeat(3)
        );
        assert_eq!((host.len() + "cmp.com".len()), first + 188);
        let long = format!("{}.{host}cmp.com", "c".repeat(4));
        (long.len(), all.check(&format!("https://{long}/")))
    };
    let (length, got) = name(60);
    assert_eq!(length, 253);
    assert!(got.is_ok());
    assert_eq!(name(61), (254, Err(RedirectError::Authority)));
    for (port, expected) in [
        ("65535", RedirectError::NotAgreed),
        ("65536", RedirectError::Authority),
        ("123456", RedirectError::Authority),
        ("0", RedirectError::Authority),
        ("4a", RedirectError::Authority),
    ] {
        let got = all.check(&format!("https://cmp.com:{port}/"));
        assert_eq!(got, Err(expected), "{port}");
    }
    for host in [
        "a-.cmp.com",
        "-a.cmp.com",
        "a..cmp.com",
        "a_b.cmp.com",
        "a@cmp.com",
    ] {
        let got = all.check(&format!("https://{host}/"));
        assert_eq!(got, Err(RedirectError::Authority), "{host}");
    }
    assert!(all.check("https://a-b.cmp.com/").is_ok());
    assert_eq!(all.check("cmpapp://a:1"), Err(RedirectError::Authority));
    assert_eq!(all.check("cmpapp://a%41"), Err(RedirectError::Authority));
}

#[test]
fn characters_are_those_of_a_uri() {
    let all = list(&["https://cmp.com"]);
    for byte in 0..=0x7f_u8 {
        let c = char::from(byte);
        let got = all.check(&format!("https://cmp.com/a{c}b"));
        match c {
            '#' => assert_eq!(got, Err(RedirectError::Fragment)),
            // What follows is no hexadecimal number.
            '%' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | ' ' => {
                assert_eq!(got, Err(RedirectError::Character), "{c}");
            }
            _ if c.is_ascii_graphic() => assert!(got.is_ok(), "{c}"),
            _ => assert_eq!(got, Err(RedirectError::Character), "{byte:02x}"),
        }
        let escaped = all.check(&format!("https://cmp.com/%{byte:02x}%{byte:02X}"));
        let harmless = byte >= 0x20 && byte != 0x7f && c != '\\';
        assert_eq!(escaped.is_ok(), harmless, "{byte:02x}");
    }
    for bad in [
        "https://cmp.com/%4",
        "https://cmp.com/%",
        "https://cmp.com/%g0%0g",
    ] {
        assert_eq!(all.check(bad), Err(RedirectError::Character), "{bad}");
    }
}

#[test]
fn a_pattern_is_shown_as_it_can_be_read() {
    for (text, shown) in [
        ("https://*.CMP.com", "https://*.cmp.com:443"),
        ("https://cmp.com:4443/a/b", "https://cmp.com:4443/a/b"),
        ("CmpApp://", "cmpapp://"),
        ("com.example+x-1://", "com.example+x-1://"),
    ] {
        let pattern: Pattern = text.parse().unwrap();
        assert_eq!(pattern.to_string(), shown);
        assert_eq!(shown.parse::<Pattern>().unwrap(), pattern);
        assert_eq!(
            serde_json::from_value::<Pattern>(text.into()).unwrap(),
            pattern
        );
    }
    for bad in [
        "1app://",
        "-app://",
        "a_b://",
        "://",
        "https://a/*",
        "https://a/b#c",
        "https://a/b\\c",
        "https://a/b c",
        "wss://",
        "intent://",
    ] {
        let error = bad.parse::<Pattern>().unwrap_err();
        assert_eq!(error.text, bad);
    }
}

// The URL that a browser is sent to, whatever the touchpoint's own query is.
#[test]
fn the_touchpoint_gets_both_fields() {
    let secret = "a secret of thirty-two bytes at least".parse().unwrap();
    let id = crate::account_id::issue(&secret, uuid::Uuid::from_u128(1), None, 1, 1).unwrap();
    for (touchpoint, separator) in [("https://msp.com/t", '?'), ("https://msp.com/t?a=b", '&')] {
        assert_eq!(
            to_msp_touchpoint(touchpoint, &id, "https://cmp.com/?x=ä"),
            format!(
                "{touchpoint}{separator}id={id}&redirect_uri=https%3A%2F%2Fcmp.com%2F%3Fx%3D%C3%A4"
            )
        );
    }
    let back = list(&["https://cmp.com"])
        .check("https://cmp.com/r")
        .unwrap();
    assert_eq!(back.as_str(), "https://cmp.com/r");
    assert_eq!(
        back.with_account_id(&id),
        format!("https://cmp.com/r?id={id}")
    );
    assert_eq!(percent_encode("aZ09-._~/ä"), "aZ09-._~%2F%C3%A4");
    for (text, expected) in [
        ("a%20b%zz%4", "a b%zz%4"),
        ("%41%42c", "ABc"),
        ("%C3%A4", "ä"),
        ("", ""),
    ] {
        assert_eq!(percent_decode(text), expected);
    }
}

proptest::proptest! {
    // Whatever is let through, the host lies below the agreed domain for an independent reading of the text.
    #[test]
    fn nothing_but_the_domain_is_let_through(text in "https://[a-z.:@/\\\\?#%0-9]{0,20}(cmp\\.com)?[a-z.:@/?#%]{0,12}") {
        if list(&["https://*.cmp.com"]).check(&text).is_ok() {
            let authority = text["https://".len()..].split(['/', '?', '#', '\\']).next().unwrap();
            proptest::prop_assert!(authority.trim_end_matches(":443").ends_with(".cmp.com"));
        }
    }
}
