
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The HTTP client: connect, write, read to the end, complete.
 *
 * (1) A request is freed exactly once, in ngx_mqtt_http_finish(), which closes
 *     its connection and completes its op.
 * (2) The time-out is that of the whole request, one timer.
 * (3) There is no connection to keep: a service that is asked once per CONNECT
 *     is not asked often, and its answers are remembered.
 *
 * Called from: ngx_mqtt_auth_http.c, the event loop.
 */


#include "ngx_mqtt_http.h"

#include <ngx_event_connect.h>


typedef struct {
    ngx_queue_t              queue;        /* in "requests" */
    ngx_mqtt_worker_t       *worker;
    ngx_mqtt_op_t           *op;
    ngx_peer_connection_t    peer;
    ngx_log_t                log;

    u_char                  *out;
    size_t                   out_len;
    u_char                  *out_end;
    size_t                   out_pos;

    u_char                  *in;           /* NGX_MQTT_HTTP_ANSWER */
    size_t                   in_len;
} ngx_mqtt_http_t;


static ngx_int_t ngx_mqtt_http_create(ngx_mqtt_http_t *h, ngx_str_t *host,
    ngx_str_t *uri, ngx_str_t *body);
static ngx_int_t ngx_mqtt_http_connect(ngx_mqtt_http_t *h, ngx_addr_t *addr,
    ngx_msec_t timeout);
static void ngx_mqtt_http_write_handler(ngx_event_t *wev);
static void ngx_mqtt_http_read_handler(ngx_event_t *rev);
static void ngx_mqtt_http_finish(ngx_mqtt_http_t *h, ngx_int_t rc,
    ngx_mqtt_http_answer_t *answer);
static void ngx_mqtt_http_free(ngx_mqtt_http_t *h);
static u_char *ngx_mqtt_http_log(ngx_log_t *log, u_char *buf, size_t len);


static char  ngx_mqtt_http_head[] =
    "POST %V HTTP/1.1" CRLF
    "Host: %V" CRLF
    "Connection: close" CRLF
    "Content-Type: application/json" CRLF
    "Accept: application/json" CRLF
    "Content-Length: %uz" CRLF CRLF;


ngx_int_t
ngx_mqtt_http_post(ngx_mqtt_worker_t *w, ngx_addr_t *addr, ngx_str_t *host,
    ngx_str_t *uri, ngx_str_t *body, ngx_msec_t timeout,
    ngx_queue_t *requests, ngx_mqtt_op_t *op)
{
    ngx_mqtt_http_t  *h;

    h = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_http_t));
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->worker = w;

    h->log = *w->log;
    h->log.handler = ngx_mqtt_http_log;
    h->log.data = h;
    h->log.action = "asking the authentication service";

    if (ngx_mqtt_http_create(h, host, uri, body) != NGX_OK) {
        ngx_mqtt_http_free(h);
        return NGX_ERROR;
    }

    h->op = op;
    ngx_queue_insert_tail(requests, &h->queue);

    if (ngx_mqtt_http_connect(h, addr, timeout) != NGX_OK) {

        /* not from inside of this call */

        ngx_queue_remove(&h->queue);

        if (h->peer.connection) {
            ngx_close_connection(h->peer.connection);
        }

        ngx_mqtt_op_post(op, NGX_ERROR, NGX_MQTT_SERVER_UNAVAILABLE);
        ngx_mqtt_http_free(h);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_http_create(ngx_mqtt_http_t *h, ngx_str_t *host, ngx_str_t *uri,
    ngx_str_t *body)
{
    u_char  *p;

    h->out_len = sizeof(ngx_mqtt_http_head) + uri->len + host->len
                 + NGX_SIZE_T_LEN + body->len;

    h->out = ngx_mqtt_alloc(h->worker, h->out_len);
    h->in = ngx_mqtt_alloc(h->worker, NGX_MQTT_HTTP_ANSWER);

    if (h->out == NULL || h->in == NULL) {
        return NGX_ERROR;
    }

    p = ngx_snprintf(h->out, h->out_len, ngx_mqtt_http_head, uri, host,
                     body->len);
    p = ngx_cpymem(p, body->data, body->len);

    /* the block is a little longer than what is sent */

    h->out_end = p;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_http_connect(ngx_mqtt_http_t *h, ngx_addr_t *addr,
    ngx_msec_t timeout)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    h->out_pos = 0;

    h->peer.sockaddr = addr->sockaddr;
    h->peer.socklen = addr->socklen;
    h->peer.name = &addr->name;
    h->peer.get = ngx_event_get_peer;
    h->peer.log = &h->log;
    h->peer.log_error = NGX_ERROR_ERR;

    rc = ngx_event_connect_peer(&h->peer);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        return NGX_ERROR;
    }

    c = h->peer.connection;

    c->data = h;
    c->log = &h->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_mqtt_http_read_handler;
    c->write->handler = ngx_mqtt_http_write_handler;

    /* its end is ours, P21 */

    c->read->channel = 1;
    c->write->channel = 1;

    ngx_add_timer(c->read, timeout);

    if (rc == NGX_OK) {
        ngx_post_event(c->write, &ngx_posted_events);
    }

    return NGX_OK;
}


static void
ngx_mqtt_http_write_handler(ngx_event_t *wev)
{
    ssize_t            n;
    size_t             len;
    ngx_connection_t  *c;
    ngx_mqtt_http_t   *h;

    c = wev->data;
    h = c->data;

    len = h->out_end - h->out;

    while (h->out_pos < len) {
        n = c->send(c, h->out + h->out_pos, len - h->out_pos);

        if (n == NGX_AGAIN) {

            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
            }

            return;
        }

        if (n <= 0) {
            ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
            return;
        }

        h->out_pos += n;
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
    }
}


static void
ngx_mqtt_http_read_handler(ngx_event_t *rev)
{
    ssize_t                  n;
    ngx_int_t                rc;
    ngx_connection_t        *c;
    ngx_mqtt_http_t         *h;
    ngx_mqtt_http_answer_t   answer;

    c = rev->data;
    h = c->data;

    if (rev->timedout) {
        ngx_log_error(NGX_LOG_ERR, c->log, NGX_ETIMEDOUT,
                      "no answer in time");
        ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
        return;
    }

    do {
        n = 0;

        if (h->in_len < NGX_MQTT_HTTP_ANSWER) {
            n = c->recv(c, h->in + h->in_len,
                        NGX_MQTT_HTTP_ANSWER - h->in_len);

            if (n == NGX_AGAIN) {
                break;
            }

            if (n == NGX_ERROR) {
                ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
                return;
            }

            h->in_len += n;
        }

        rc = (n || rev->eof)
             ? ngx_mqtt_http_parse(h->in, h->in + h->in_len, n == 0, &answer)
             : NGX_ERROR;

        if (rc == NGX_OK) {
            ngx_mqtt_http_finish(h, NGX_OK, &answer);
            return;
        }

        if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, c->log, 0, "invalid answer");
            ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_mqtt_http_finish(h, NGX_ERROR, NULL);
    }
}


static void
ngx_mqtt_http_finish(ngx_mqtt_http_t *h, ngx_int_t rc,
    ngx_mqtt_http_answer_t *answer)
{
    ngx_mqtt_op_t  *op;

    ngx_queue_remove(&h->queue);
    ngx_close_connection(h->peer.connection);

    op = h->op;

    ngx_mqtt_op_complete(op, rc, (rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                                : NGX_MQTT_SERVER_UNAVAILABLE,
                         answer);

    ngx_mqtt_http_free(h);
}


void
ngx_mqtt_http_stop(ngx_queue_t *requests)
{
    ngx_queue_t      *q;
    ngx_mqtt_http_t  *h;

    while (!ngx_queue_empty(requests)) {
        q = ngx_queue_head(requests);
        h = ngx_queue_data(q, ngx_mqtt_http_t, queue);

        ngx_queue_remove(q);
        ngx_close_connection(h->peer.connection);

        ngx_mqtt_op_post(h->op, NGX_ERROR, NGX_MQTT_SERVER_SHUTTING_DOWN);
        ngx_mqtt_http_free(h);
    }
}


static void
ngx_mqtt_http_free(ngx_mqtt_http_t *h)
{
    /* there is a password in it */

    if (h->out) {
        ngx_explicit_memzero(h->out, h->out_len);
        ngx_mqtt_free(h->worker, h->out, h->out_len);
    }

    if (h->in) {
        ngx_mqtt_free(h->worker, h->in, NGX_MQTT_HTTP_ANSWER);
    }

    ngx_mqtt_free(h->worker, h, sizeof(ngx_mqtt_http_t));
}


static u_char *
ngx_mqtt_http_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char           *p;
    ngx_mqtt_http_t  *h;

    h = log->data;

    p = ngx_snprintf(buf, len, " while %s, gateway: \"%V\"", log->action,
                     &h->worker->gateway->name);
    len -= p - buf;

    if (h->peer.name) {
        p = ngx_snprintf(p, len, ", server: %V", h->peer.name);
    }

    return p;
}
