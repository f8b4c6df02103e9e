//! The file that tells a shell, and whatever it starts, how to reach the sandbox.

use crate::sandbox::Sandbox;

/// The lines of the file, under this mark.
pub(super) fn text(sandbox: &Sandbox, mark: &str) -> String {
    let credentials = sandbox.credentials();
    format!(
        "# The sandbox {mark}, until it ends.\n\
         export AWS_ENDPOINT_URL={}\n\
         export AWS_REGION={region}\n\
         export AWS_DEFAULT_REGION={region}\n\
         export AWS_ACCESS_KEY_ID={}\n\
         export AWS_SECRET_ACCESS_KEY={}\n\
         unset AWS_SESSION_TOKEN AWS_PROFILE\n",
        sandbox.endpoint(),
        credentials.access_key_id,
        credentials.secret_access_key,
        region = sandbox.region(),
    )
}
