//! How a script ends, and what the agent makes of it.

use super::*;

/// A node whose `sh` is this program; `None` where the machine does not have it.
fn with_sh(program: &str) -> Option<Trial> {
    let places = ["/usr/bin", "/bin", "/usr/local/bin"];
    let mut found = places.map(|place| PathBuf::from(place).join(program)).into_iter();
    let found = found.find(|path| path.exists())?;
    let trial = Trial::new();
    let programs = trial.file(NODE, "bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(found, programs.join("sh")).unwrap();
    Some(trial)
}

#[tokio::test]
async fn exit_137_of_the_script_itself_is_a_timeout_without_a_failure_line() {
    let step = Trial::new().run_script("echo out; echo err >&2; exit 137").await;
    assert_eq!(end_of(&step), ("ExecutionTimedOut", 137, "out\n", "err\n"));
    let step = Trial::new().run_script("timeout -s KILL 0.1 sleep 60").await;
    assert_eq!((&step["Status"], &step["ResponseCode"]), (&json!("TimedOut"), &json!(137)));
}

#[tokio::test]
async fn exit_168_is_a_success_that_drops_stderr_and_skips_later_steps() {
    let steps = json!([
        step("first", &json!(["echo out; echo err >&2; exit 168"])),
        step("later", &json!(["echo never"]))
    ]);
    let trial = Trial::with(&[("Steps", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Steps", &json!({}))).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
    let steps = trial.invocations(&id).await[0]["CommandPlugins"].clone();
    assert_eq!(
        (&steps[0]["StatusDetails"], &steps[0]["ResponseCode"]),
        (&json!("Success"), &json!(168))
    );
    assert_eq!(steps[0]["Output"], "out\n");
    let reason = "Plugin with name aws:runShellScript and id later skipped due to prior step with an exit condition";
    assert_eq!(steps[1]["Output"], reason);
    assert_eq!(
        (&steps[1]["StatusDetails"], &steps[1]["ResponseCode"]),
        (&json!("Success"), &json!(0))
    );

    let body = json!({"CommandId": id, "InstanceId": NODE, "PluginName": "first"});
    let first = trial.call("GetCommandInvocation", body).await.unwrap();
    let sentence = "\nStep exited with code 168. Therefore, marking step as succeeded. Further document steps will be skipped.";
    assert_eq!(end_of(&first), ("Success", 168, &*format!("out\n{sentence}"), ""));
}

#[tokio::test]
async fn exit_169_fails_and_skips_later_steps() {
    let steps = json!([step("first", &json!(["exit 169"])), step("later", &json!(["echo never"]))]);
    let trial = Trial::with(&[("Steps", json!({"mainSteps": steps}))], Duration::ZERO);
    let steps = trial.steps(send_to("Steps", &json!({}))).await;
    assert_eq!(
        (&steps[0]["StatusDetails"], &steps[0]["ResponseCode"]),
        (&json!("Failed"), &json!(169))
    );
    assert_eq!(
        steps[0]["Output"],
        "\n----------ERROR-------\nfailed to run commands: exit status 169"
    );
    assert!(steps[1]["Output"].as_str().unwrap().contains("prior step with an exit condition"));
}

#[tokio::test]
async fn exit_194_reboots_and_runs_the_step_again_with_its_outputs_appended() {
    let script = "echo run >> runs; echo out; echo err >&2; [ $(wc -l < runs) = 3 ] || exit 194";
    let steps =
        json!([step("before", &json!(["echo b >> before"])), step("reboots", &json!([script]))]);
    let mut trial = Trial::with(&[("Steps", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Steps", &json!({}))).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
    let steps = trial.invocations(&id).await[0]["CommandPlugins"].clone();
    assert_eq!(steps[1]["ResponseCode"], 0);
    assert_eq!(steps[1]["Output"], "out\nout\nout\n\n----------ERROR-------\nerr\nerr\nerr\n");
    let runs = std::fs::read_to_string(trial.file(NODE, "before")).unwrap();
    assert_eq!(runs, "b\n", "a step that has ended does not run again");
    let ends = std::iter::from_fn(|| trial.events.try_recv().ok());
    assert_eq!(ends.filter(|event| event["detail"]["status"] == "Success").count(), 2);
}

#[tokio::test]
async fn after_15_reboots_the_agent_gives_up_and_says_nothing() {
    let trial = Trial::new();
    let script = "echo run >> runs; [ $(wc -l < runs) -lt 16 ] || echo last > last; exit 194";
    let id = trial.send_script(script).await;
    trial.written(&trial.file(NODE, "last")).await;
    let directory = trial.file(NODE, ".commands").join(&id);
    eventually("the agent gives up", || !directory.exists()).await;
    pass(Duration::from_hours(2)).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "DeliveryTimedOut");
    let runs = std::fs::read_to_string(trial.file(NODE, "runs")).unwrap();
    assert_eq!(runs.lines().count(), 16);
}

#[tokio::test]
async fn a_signal_in_the_last_command_is_128_and_its_number_under_any_shell() {
    for shell in ["dash", "bash"] {
        let Some(trial) = with_sh(shell) else { continue };
        let step = trial.run_script("sh -c 'kill -TERM $$'").await;
        let expected = ("Failed", 143, "", "failed to run commands: exit status 143");
        let (details, code, stdout, stderr) = end_of(&step);
        assert!(stderr.ends_with(expected.3), "{shell}: {stderr}");
        assert_eq!((details, code, stdout), (expected.0, expected.1, expected.2), "{shell}");
    }
}

#[tokio::test]
async fn a_script_that_a_signal_kills_has_the_code_minus_1_under_bash() {
    let Some(trial) = with_sh("bash") else { return };
    let step = trial.run_script("echo out; kill -KILL $$").await;
    assert_eq!(end_of(&step), ("Failed", -1, "out\n", "failed to run commands: signal: killed"));
    let step = trial.run_script("kill -TERM $$").await;
    assert_eq!(end_of(&step), ("Failed", -1, "", "failed to run commands: signal: terminated"));
}

#[tokio::test]
async fn a_script_that_a_signal_kills_ends_as_dash_reports_it() {
    let Some(trial) = with_sh("dash") else { return };
    // Some versions of dash run the script in a process of its own, others in their own process.
    let step = trial.run_script("kill -TERM $$").await;
    let ends = [
        ("Failed", 143, "", "Terminated\nfailed to run commands: exit status 143"),
        ("Failed", -1, "", "failed to run commands: signal: terminated"),
    ];
    assert!(ends.contains(&end_of(&step)), "{step}");
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_last_line() {
    let step = Trial::new().run_script("false\ntrue").await;
    assert_eq!(end_of(&step), ("Success", 0, "", ""));
    let step = Trial::new().run_script("true\nfalse").await;
    assert_eq!(end_of(&step), ("Failed", 1, "", "failed to run commands: exit status 1"));
}

#[tokio::test]
async fn the_first_line_may_name_another_interpreter() {
    let interpreters = [
        ("#!/bin/bash\necho ${BASH_VERSION:+bash}", "/bin/bash", "bash\n"),
        ("#!/usr/bin/env python3\nprint(1 + 1)", "/usr/bin/env", "2\n"),
        ("#!/bin/cat\n{{ not a parameter }}", "/bin/cat", "#!/bin/cat\n{{ not a parameter }}\n"),
    ];
    for (script, interpreter, stdout) in interpreters {
        if PathBuf::from(interpreter).exists() {
            let step = Trial::new().run_script(script).await;
            assert_eq!(end_of(&step), ("Success", 0, stdout, ""), "{script}");
        }
    }
}

#[tokio::test]
async fn powershell_on_linux_without_pwsh_fails() {
    if ["powershell", "pwsh"].iter().any(|name| PathBuf::from("/usr/bin").join(name).exists()) {
        return;
    }
    let request = with(shell(&[NODE], "1"), &json!({"DocumentName": "AWS-RunPowerShellScript"}));
    let step = Trial::new().run(request).await;
    let reason = "failed to run commands: fork/exec /usr/bin/pwsh: no such file or directory";
    assert_eq!(end_of(&step), ("Failed", 1, "", reason));
}

#[tokio::test]
async fn a_failure_line_follows_without_a_newline_before_it() {
    let step = Trial::new().run_script("printf err >&2; exit 5").await;
    assert_eq!(end_of(&step), ("Failed", 5, "", "errfailed to run commands: exit status 5"));
}
