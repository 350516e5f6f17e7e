"use strict";
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#app",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: false,
  tryItOutEnabled: true,
  // Would send the document to a host of its makers.
  validatorUrl: null,
});
