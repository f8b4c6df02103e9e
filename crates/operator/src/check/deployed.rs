//! The resources of a stack: what CloudFormation calls them, and how they are called in AWS.

use std::collections::BTreeMap;

use crate::aws::Aws;
use crate::call::answer;
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Maximum number of pages read. A page has up to 100 resources, and the template about 40.
const PAGES_MAX: usize = 10;

/// A resource of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name or ARN.
    pub physical_id: String,
    /// Such as `AWS::Events::Rule`.
    pub kind: String,
    /// Such as `CREATE_COMPLETE`.
    pub status: String,
}

/// The resources of a stack, by their names in the template.
#[derive(Debug)]
pub struct Deployed(Result<BTreeMap<String, Resource>, Problem>);

impl Deployed {
    /// Reads them.
    pub async fn read(aws: &Aws, stack: &Stack) -> Self {
        Self(read(aws, stack).await)
    }

    /// These resources.
    #[cfg(test)]
    pub(crate) fn of(resources: Result<BTreeMap<String, Resource>, Problem>) -> Self {
        Self(resources)
    }

    /// All of them.
    pub fn all(&self) -> Result<&BTreeMap<String, Resource>, Problem> {
        self.0.as_ref().map_err(Clone::clone)
    }

    /// The name or ARN of a resource. `None` if the stack has no such resource.
    pub fn physical_id(&self, name: &str) -> Result<Option<&str>, Problem> {
        Ok(self.all()?.get(name).map(|resource| resource.physical_id.as_str()))
    }
}

async fn read(aws: &Aws, stack: &Stack) -> Result<BTreeMap<String, Resource>, Problem> {
    let mut resources = BTreeMap::new();
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let request = aws.cloudformation.list_stack_resources().stack_name(&stack.name);
        let page = request.set_next_token(next_token).send().await;
        let page = answer("cloudformation:ListStackResources", page)?;
        for one in page.stack_resource_summaries.unwrap_or_default() {
            let status = one.resource_status.as_ref().map_or("", |status| status.as_str());
            let resource = Resource {
                physical_id: one.physical_resource_id.unwrap_or_default(),
                kind: one.resource_type.unwrap_or_default(),
                status: printable(status),
            };
            resources.insert(printable(&one.logical_resource_id.unwrap_or_default()), resource);
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok(resources);
        }
    }
    Err(Problem::new(format!(
        "expected at most {} resources of stack {}, got more",
        resources.len(),
        stack.name
    )))
}
