//! The answers of STS.

use crate::credentials::Credentials;

/// The credentials in the answer of `AssumeRole`.
pub fn credentials(xml: &str) -> Option<Credentials> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let text = |name: &str| {
        let element = document.descendants().find(|node| node.tag_name().name() == name)?;
        element.text().map(str::to_owned)
    };
    Some(Credentials {
        access_key_id: text("AccessKeyId")?,
        secret_access_key: text("SecretAccessKey")?,
        session_token: Some(text("SessionToken")?),
    })
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[test]
    fn credentials_are_found_in_the_answer() {
        let xml = r#"<R xmlns="https://sts/"><Credentials><AccessKeyId>A</AccessKeyId>
            <SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken></Credentials></R>"#;
        let found = credentials(xml).expect("credentials");
        assert_eq!([found.access_key_id, found.secret_access_key], ["A", "B"]);
        assert_eq!(found.session_token.as_deref(), Some("C"));
        assert!(credentials("<R/>").is_none());
    }
}
