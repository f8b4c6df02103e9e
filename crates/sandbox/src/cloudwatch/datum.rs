//! A value of a metric.

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// The namespace, such as `AWS/Lambda`.
    pub namespace: String,
    /// The metric.
    pub name: String,
    /// Names and values of dimensions.
    pub dimensions: Vec<(String, String)>,
    /// A unit of CloudWatch, such as `Count`.
    pub unit: String,
    /// When it was measured.
    pub epoch_seconds: i64,
    /// What was measured.
    pub value: f64,
}
