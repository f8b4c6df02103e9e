//! Where a script runs.

use super::*;

async fn run_in(trial: &Trial, directory: &str) -> Value {
    let mut request = shell(&[NODE], "pwd");
    request["Parameters"]["workingDirectory"] = json!([directory]);
    trial.run(request).await
}

#[tokio::test]
async fn an_absolute_directory_that_is_absent_fails_and_names_sh() {
    let step = run_in(&Trial::new(), "/srv/app").await;
    let reason = "failed to run commands: fork/exec /usr/bin/sh: no such file or directory";
    assert_eq!(end_of(&step), ("Failed", 1, "", reason));
}

#[tokio::test]
async fn a_relative_an_empty_and_a_quoted_directory_are_the_agents_own() {
    let trial = Trial::new();
    let home = trial.file(NODE, "").canonicalize().unwrap();
    std::fs::create_dir(home.join("there")).unwrap();
    for own in ["", "absent", "there", "\"\"", "./x", "$(touch x)"] {
        let step = run_in(&trial, own).await;
        assert_eq!(end_of(&step), ("Success", 0, &*format!("{}\n", home.display()), ""), "{own:?}");
    }
    assert!(!home.join("absent").exists(), "none was made");
}

#[tokio::test]
async fn a_node_has_the_directories_of_a_real_one() {
    let trial = Trial::new();
    let home = trial.file(NODE, "").canonicalize().unwrap();
    for there in ["/home/ssm-user", "/tmp", "/var/log", "/opt"] {
        let step = run_in(&trial, there).await;
        let expected = format!("{}{there}\n", home.display());
        assert_eq!(end_of(&step), ("Success", 0, &*expected, ""), "{there}");
    }
}

#[tokio::test]
async fn a_directory_that_a_script_made_is_there() {
    let trial = Trial::new();
    trial.run_script("mkdir -p srv/app").await;
    assert_eq!(run_in(&trial, "/srv/app").await["Status"], "Success");
}
