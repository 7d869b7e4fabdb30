// Swagger UI on our own description. Whoever came by the page's session asks with its token against forged requests.

const csrf = await fetch('/api/login').then((answer) => (answer.ok ? answer.json() : {}));

window.SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor(request) {
    if (csrf.csrf) request.headers['X-CSRF-Token'] = csrf.csrf;
    return request;
  },
});
