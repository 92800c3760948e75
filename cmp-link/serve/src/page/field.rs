//! Fields of forms: label, hint and error tied to the field (WCAG 2.2 §3.3.1, §3.3.2, §4.1.2).

use maud::{Markup, html};

/// A text field.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// `id` and `name`, unless `id` is given.
    pub name: &'a str,
    /// `id`, where the page has two fields of that name.
    pub id: Option<&'a str>,
    /// What the field is for.
    pub label: &'a str,
    /// What may be typed; empty for nothing to say.
    pub hint: &'a str,
    /// What is wrong with what was typed.
    pub error: Option<&'a str>,
    /// What was typed before; never of a secret.
    pub value: &'a str,
    /// `type`
    pub kind: &'a str,
    /// `autocomplete`
    pub autocomplete: &'a str,
    /// `maxlength`, characters.
    pub max: usize,
    /// Whether it must be filled in.
    pub required: bool,
    /// Digits only, for a phone's keyboard.
    pub numeric: bool,
    /// `class`, such as `code`; empty for none.
    pub class: &'a str,
}

impl<'a> Field<'a> {
    /// A field that must be filled in.
    #[must_use]
    pub const fn new(name: &'a str, label: &'a str) -> Self {
        Self {
            name,
            id: None,
            label,
            hint: "",
            error: None,
            value: "",
            kind: "text",
            autocomplete: "off",
            max: 128,
            required: true,
            numeric: false,
            class: "",
        }
    }

    /// A field for a password: nothing of it comes back.
    #[must_use]
    pub const fn password(name: &'a str, label: &'a str, autocomplete: &'a str) -> Self {
        let mut field = Self::new(name, label);
        field.kind = "password";
        field.autocomplete = autocomplete;
        field.max = 256;
        field
    }

    /// Its markup.
    #[must_use]
    pub fn render(&self) -> Markup {
        let id = self.id.unwrap_or(self.name);
        let (hint_id, error_id) = (format!("{id}-hint"), format!("{id}-error"));
        let mut described = Vec::new();
        if self.error.is_some() {
            described.push(error_id.as_str());
        }
        if !self.hint.is_empty() {
            described.push(hint_id.as_str());
        }
        let described = Some(described.join(" ")).filter(|d| !d.is_empty());
        html! {
            label for=(id) { (self.label) }
            @if !self.hint.is_empty() { span.hint id=(hint_id) { (self.hint) } }
            @if let Some(error) = self.error { span.error id=(error_id) { (error) } }
            input id=(id) name=(self.name) type=(self.kind) value=[Some(self.value).filter(|v| !v.is_empty())]
                class=[Some(self.class).filter(|c| !c.is_empty())]
                autocomplete=(self.autocomplete) maxlength=(self.max) required[self.required]
                inputmode=[self.numeric.then_some("numeric")]
                autocapitalize="none" spellcheck="false"
                aria-describedby=[described] aria-invalid=[self.error.map(|_| "true")];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_tied_to_its_field() {
        let mut field = Field::new("pin", "PIN");
        assert!(!field.render().into_string().contains("aria-"));
        field.hint = "4 digits";
        field.error = Some("\"<b>wrong");
        field.value = "\"12";
        let html = field.render().into_string();
        for part in [
            "aria-describedby=\"pin-error pin-hint\"",
            "aria-invalid=\"true\"",
            "id=\"pin-error\"",
            "value=\"&quot;12\"",
            "&quot;&lt;b&gt;wrong",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }
}
