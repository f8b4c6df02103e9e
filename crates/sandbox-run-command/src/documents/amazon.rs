//! The documents of AWS that the sandbox has.

use serde_json::json;

use super::document::Document;

/// The documents that AWS owns and the sandbox has: `AWS-RunShellScript` and
/// `AWS-RunPowerShellScript`, with the parameters, defaults and patterns of the real ones.
pub fn amazon_documents() -> [Document; 2] {
    [
        amazon_script_document("AWS-RunShellScript", "aws:runShellScript", "a shell script"),
        amazon_script_document(
            "AWS-RunPowerShellScript",
            "aws:runPowerShellScript",
            "a PowerShell script",
        ),
    ]
}

fn amazon_script_document(name: &str, plugin: &str, what: &str) -> Document {
    let content = json!({
        "schemaVersion": "1.2",
        "description": format!("Run {what} or specify the commands to run."),
        "parameters": {
            "commands": {
                "type": "StringList",
                "description": format!("(Required) Specify {what} or a command to run."),
                "minItems": 1,
                "displayType": "textarea",
            },
            "workingDirectory": {
                "type": "String",
                "default": "",
                "description": "(Optional) The path to the working directory on your instance.",
                "maxChars": 4096,
            },
            "executionTimeout": {
                "type": "String",
                "default": "3600",
                "description": "(Optional) The time in seconds for a command to complete before \
                    it is considered to have failed. Default is 3600 (1 hour). Maximum is 172800 \
                    (48 hours).",
                "allowedPattern": "([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|\
                    (172[0-7][0-9]{2})|(172800)",
            },
        },
        "runtimeConfig": {
            plugin: {
                "properties": [{
                    "id": format!("0.{plugin}"),
                    "runCommand": "{{ commands }}",
                    "workingDirectory": "{{ workingDirectory }}",
                    "timeoutSeconds": "{{ executionTimeout }}",
                }],
            },
        },
    });
    Document { name: name.to_owned(), document_type: "Command".to_owned(), content }
}
