//! The sandbox's page in a real browser: Chromium, driven through `chromedriver`.
//!
//! Where there is none, the tests say so and pass. `BROWSER_TESTS=required` makes it a must.

mod demo;
mod live;
mod web_driver;
