//! References out of a document: to Parameter Store, and to a version of another document.

use std::sync::LazyLock;

use regex::Regex;

/// `{{ssm:name}}`, as the agent finds it.
static SSM_REFERENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{\{ *ssm:(?<name>[/0-9A-Za-z_.:-]+) *\}\}").ok());

/// The references to Parameter Store in a text, in order: each as it is written, and the name.
pub(crate) fn ssm_references(text: &str) -> Vec<(String, String)> {
    let found = SSM_REFERENCE.iter().flat_map(|pattern| pattern.captures_iter(text));
    found.map(|found| (found[0].to_owned(), found["name"].to_owned())).collect()
}

/// Whether a text refers to Parameter Store.
pub(crate) fn has_ssm_reference(text: &str) -> bool {
    SSM_REFERENCE.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// The name or ARN of a document, and the version after its last colon, if there is one.
pub(crate) fn named_version(path: &str) -> (&str, Option<&str>) {
    // An ARN has colons of its own, all before the last slash.
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.split_once(':') {
        Some((_, version)) => (&path[..path.len() - version.len() - 1], Some(version)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_found_with_its_name() {
        let found =
            ssm_references("a {{ ssm:/app/db-1.x:3 }}{{ssm:b}} {{ ssm: c }} {{ssm:}} {{x}}");
        let expected = [("{{ ssm:/app/db-1.x:3 }}", "/app/db-1.x:3"), ("{{ssm:b}}", "b")];
        assert_eq!(found, expected.map(|(text, name)| (text.to_owned(), name.to_owned())));
        assert!(has_ssm_reference("{{ssm:b}}") && !has_ssm_reference("{{ ssm:b"));
    }

    #[test]
    fn a_version_follows_the_name_also_in_an_arn() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:document/Mine";
        assert_eq!(named_version("Mine"), ("Mine", None));
        assert_eq!(named_version("Mine:2"), ("Mine", Some("2")));
        assert_eq!(named_version(arn), (arn, None));
        assert_eq!(named_version(&format!("{arn}:2")), (arn, Some("2")));
    }
}
