"""What an application says of its routes: the OpenAPI document, and the page that shows it."""
