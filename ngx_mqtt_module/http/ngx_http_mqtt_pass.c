
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * MQTT over WebSocket in a location: the request is upgraded, then its
 * connection belongs to a client like one of stream.
 *
 * (1) Everything in front is nginx's: TLS, access rules, limits; so is the
 *     answer, 101 with its headers or an error page.
 * (2) The request lives as long as the client, with one reference of its own:
 *     limits on connections hold, and the access log tells how it ended.
 * (3) The events of the connection are those of the client from 101 on;
 *     nothing of http reads it any more.
 * (4) The client is freed after the request, which is logged while there
 *     still is a client, see ngx_mqtt_client_free().
 */


#include "ngx_http_mqtt.h"


static void ngx_http_mqtt_read_request(ngx_http_request_t *r,
    ngx_mqtt_ws_request_t *req);
static ngx_int_t ngx_http_mqtt_refuse(ngx_http_request_t *r,
    ngx_uint_t status, const char *problem);
static ngx_int_t ngx_http_mqtt_upgrade_required(ngx_http_request_t *r,
    const char *problem);
static ngx_int_t ngx_http_mqtt_switch_protocols(ngx_http_request_t *r,
    ngx_mqtt_ws_request_t *req);
static ngx_int_t ngx_http_mqtt_add_header(ngx_http_request_t *r,
    const char *key, ngx_str_t *value);
static ngx_int_t ngx_http_mqtt_start(ngx_http_request_t *r,
    ngx_http_mqtt_ctx_t *ctx);
static void ngx_http_mqtt_event(ngx_event_t *ev);
static void ngx_http_mqtt_finalize(ngx_mqtt_client_t *mc);
static u_char *ngx_http_mqtt_log_error(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);


static ngx_str_t  ngx_http_mqtt_websocket = ngx_string("websocket");
static ngx_str_t  ngx_http_mqtt_upgrade = ngx_string("Upgrade");
static ngx_str_t  ngx_http_mqtt_version = ngx_string("13");
static ngx_str_t  ngx_http_mqtt_text = ngx_string("text/plain");
static ngx_str_t  ngx_http_mqtt_get = ngx_string("GET");


ngx_int_t
ngx_http_mqtt_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_uint_t                 status;
    ngx_http_mqtt_ctx_t       *ctx;
    ngx_mqtt_ws_request_t      req;
    ngx_http_mqtt_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mqtt_module);

    if (r != r->main) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "mqtt_pass does not serve subrequests");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_mqtt_read_request(r, &req);

    status = ngx_mqtt_ws_check_request(&req);

    if (status == NGX_HTTP_SWITCHING_PROTOCOLS
        && !ngx_mqtt_client_ws_origin_allowed(&mlcf->client, &req))
    {
        status = NGX_HTTP_FORBIDDEN;
        req.problem = "the origin is not allowed";
    }

    if (status != NGX_HTTP_SWITCHING_PROTOCOLS) {
        return ngx_http_mqtt_refuse(r, status, req.problem);
    }

    if (ngx_exiting) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_mqtt_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_mqtt_switch_protocols(r, &req);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_mqtt_start(r, ctx);
}


static void
ngx_http_mqtt_read_request(ngx_http_request_t *r, ngx_mqtt_ws_request_t *req)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    ngx_memzero(req, sizeof(ngx_mqtt_ws_request_t));

    req->get = (r->method == NGX_HTTP_GET);

    /* HTTP/2 and later have another handshake, RFC 8441 */

    req->http_1_1 = (r->http_version == NGX_HTTP_VERSION_11);

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        ngx_mqtt_ws_request_header(req, &header[i].key, &header[i].value);
    }
}


static ngx_int_t
ngx_http_mqtt_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *problem)
{
    ngx_http_mqtt_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mqtt_module);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "WebSocket handshake was refused with %ui: %s",
                  status, problem);

    ngx_mqtt_count(mlcf->client.gateway->worker,
                   NGX_MQTT_STAT_websockets_refused);

    if (status == NGX_HTTP_NOT_ALLOWED
        && ngx_http_mqtt_add_header(r, "Allow", &ngx_http_mqtt_get) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (status == 426) {
        return ngx_http_mqtt_upgrade_required(r, problem);
    }

    return status;
}


/* nginx has no page for it, and people meet it with a browser */

static ngx_int_t
ngx_http_mqtt_upgrade_required(ngx_http_request_t *r, const char *problem)
{
    size_t                     len;
    u_char                    *p;
    ngx_http_complex_value_t   cv;

    if (ngx_http_mqtt_add_header(r, "Connection", &ngx_http_mqtt_upgrade)
        != NGX_OK
        || ngx_http_mqtt_add_header(r, "Upgrade", &ngx_http_mqtt_websocket)
           != NGX_OK
        || ngx_http_mqtt_add_header(r, "Sec-WebSocket-Version",
                                    &ngx_http_mqtt_version)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = sizeof("This is MQTT over WebSocket: ." CRLF) - 1
          + ngx_strlen(problem);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    cv.value.data = p;
    cv.value.len = ngx_sprintf(p, "This is MQTT over WebSocket: %s." CRLF,
                               problem)
                   - p;

    ngx_str_set(&r->headers_out.status_line, "426 Upgrade Required");

    return ngx_http_send_response(r, 426, &ngx_http_mqtt_text, &cv);
}


static ngx_int_t
ngx_http_mqtt_switch_protocols(ngx_http_request_t *r,
    ngx_mqtt_ws_request_t *req)
{
    ngx_int_t          rc;
    ngx_str_t          accept;
    ngx_connection_t  *c;

    c = r->connection;

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    accept.len = NGX_MQTT_CLIENT_WS_ACCEPT_LEN;
    accept.data = ngx_pnalloc(r->pool, accept.len);

    if (accept.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_mqtt_client_ws_accept_key(accept.data, &req->key);

    if (ngx_http_mqtt_add_header(r, "Upgrade", &ngx_http_mqtt_websocket)
        != NGX_OK
        || ngx_http_mqtt_add_header(r, "Sec-WebSocket-Accept", &accept)
           != NGX_OK
        || ngx_http_mqtt_add_header(r, "Sec-WebSocket-Protocol",
                                    &req->protocol)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->keepalive = 0;
    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    if (ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* the client writes to the socket, so nothing of http may be left */

    if (r->out || c->buffered) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client does not take the WebSocket handshake");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_mqtt_add_header(ngx_http_request_t *r, const char *key,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.len = ngx_strlen(key);
    h->key.data = (u_char *) key;
    h->value = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_mqtt_start(ngx_http_request_t *r, ngx_http_mqtt_ctx_t *ctx)
{
    ngx_mqtt_client_t         *mc;
    ngx_http_mqtt_loc_conf_t  *mlcf;

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_mqtt_module);

    mc = ngx_mqtt_client_create(r->connection, &mlcf->client,
                                ngx_http_mqtt_finalize);
    if (mc == NULL) {
        return NGX_ERROR;
    }

    ctx->client = mc;
    ctx->log_handler = r->log_handler;

    ngx_http_set_ctx(r, ctx, ngx_http_mqtt_module);

    r->log_handler = ngx_http_mqtt_log_error;
    r->count++;

    if (ngx_mqtt_client_ws_open(mc) != NGX_OK) {
        ngx_mqtt_client_start(mc, ngx_http_mqtt_event, NULL);
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);

        return NGX_DONE;
    }

    ngx_mqtt_client_start(mc, ngx_http_mqtt_event, r->header_in);

    return NGX_DONE;
}


static void
ngx_http_mqtt_event(ngx_event_t *ev)
{
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_mqtt_ctx_t  *ctx;

    c = ev->data;
    r = c->data;

    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

    if (ctx->client) {
        ngx_mqtt_client_event(ctx->client, ev);
    }
}


static void
ngx_http_mqtt_finalize(ngx_mqtt_client_t *mc)
{
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_mqtt_ctx_t  *ctx;

    c = mc->connection;
    r = c->data;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

    /* no post_action: there is nobody to answer to, and no client */

    r->request_complete = 1;
    r->post_action = 1;
    r->uri_changes = 0;

    /* not NGX_OK, which may linger: the client has done so, P38 */

    ngx_http_finalize_request(r, NGX_ERROR);
    ngx_http_run_posted_requests(c);

    if (!c->destroyed) {

        /* a background subrequest waits for a thread */

        ctx->client = NULL;
    }
}


static u_char *
ngx_http_mqtt_log_error(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    u_char               *p;
    ngx_http_mqtt_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_mqtt_module);

    p = ctx->log_handler(r, sr, buf, len);

    if (ctx->client == NULL) {
        return p;
    }

    return ngx_mqtt_client_log_error(ctx->client, p, len - (p - buf));
}
