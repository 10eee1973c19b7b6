
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Logging in: AUTH, SELECT, CLIENT SETNAME, SCRIPT LOAD of every script, ROLE
 * and PING, in one write.  A node of a cluster is asked for the map of slots
 * instead of its role: a replica can tell it as well.
 *
 * (1) The commands carry a step and stand before everything that waits.
 * (2) PING is the last one: its PONG makes the connection READY, and a server
 *     that still loads its data refuses it.
 * (3) What a restricted user may not do, but need not, is no failure: SETNAME,
 *     SCRIPT LOAD (EVAL follows), ROLE (READONLY follows).
 * (4) No message repeats the password, whatever Redis says.
 *
 * Called from: ngx_mqtt_redis_connect.c (start), ngx_mqtt_redis.c (replies).
 */


#include "ngx_mqtt_redis_core.h"


static ngx_int_t ngx_mqtt_redis_login_scripts(ngx_mqtt_redis_t *r);
static ngx_int_t ngx_mqtt_redis_login_role(ngx_mqtt_redis_t *r);
static void ngx_mqtt_redis_login_failed(ngx_mqtt_redis_t *r, char *text,
    ngx_mqtt_redis_reply_t *reply);
static void ngx_mqtt_redis_login_done(ngx_mqtt_redis_t *r);


void
ngx_mqtt_redis_login(ngx_mqtt_redis_t *r)
{
    ngx_str_t               argv[2];
    ngx_queue_t             waiting;
    ngx_uint_t              n;
    ngx_connection_t       *c;
    ngx_mqtt_redis_conf_t  *conf;

    c = r->peer.connection;
    conf = r->conf;

    r->state = NGX_MQTT_REDIS_LOGIN;
    r->log.action = "logging in to Redis";

    c->read->handler = ngx_mqtt_redis_read_handler;
    c->write->handler = ngx_mqtt_redis_write_handler;

    /* what is queued already comes after the login */

    ngx_queue_init(&waiting);
    ngx_mqtt_redis_queue_move(&waiting, &r->queued);

    n = 0;

    if (conf->user.len) {
        argv[n++] = conf->user;
    }

    if (conf->password.len) {
        argv[n++] = conf->password;
    }

    if ((n && ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_AUTH, "AUTH",
                                       n, argv)
              != NGX_OK)
        || (conf->db.len
            && ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_SELECT,
                                        "SELECT", 1, &conf->db)
               != NGX_OK)
        || ngx_mqtt_redis_login_scripts(r) != NGX_OK
        || ngx_mqtt_redis_login_role(r) != NGX_OK
        || ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_PING, "PING", 0,
                                    NULL)
           != NGX_OK)
    {
        ngx_mqtt_redis_queue_move(&r->queued, &waiting);
        ngx_mqtt_redis_lost(r, NGX_ENOMEM, "cannot log in", NULL);
        return;
    }

    ngx_mqtt_redis_queue_move(&r->queued, &waiting);

    ngx_mqtt_redis_set_timer(r, conf->timeout);

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_post_event(&r->flush, &ngx_posted_events);
}


static ngx_int_t
ngx_mqtt_redis_login_scripts(ngx_mqtt_redis_t *r)
{
    ngx_str_t   argv[2];
    ngx_uint_t  i;

    ngx_str_set(&argv[0], "SETNAME");
    argv[1] = r->conf->client_name;

    if (ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_SETNAME, "CLIENT", 2,
                                 argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->own) {
        return NGX_OK;
    }

    ngx_str_set(&argv[0], "LOAD");

    for (i = 0; i < NGX_MQTT_LUA_MAX; i++) {
        argv[1] = *ngx_mqtt_redis_script_text(i);

        if (ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_SCRIPT, "SCRIPT",
                                     2, argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_login_role(ngx_mqtt_redis_t *r)
{
    ngx_str_t  slots;

    if (ngx_mqtt_redis_is_node(r)) {
        ngx_str_set(&slots, "SLOTS");

        return ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_SLOTS,
                                        "CLUSTER", 1, &slots);
    }

    return ngx_mqtt_redis_login_add(r, NGX_MQTT_REDIS_STEP_ROLE, "ROLE", 0,
                                    NULL);
}


ngx_int_t
ngx_mqtt_redis_login_add(ngx_mqtt_redis_t *r, ngx_uint_t step, char *command,
    ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_str_t              head;
    ngx_mqtt_redis_cmd_t  *cmd;

    head.data = (u_char *) command;
    head.len = ngx_strlen(command);

    cmd = ngx_mqtt_redis_cmd_create(r, 1, &head, argc, argv);
    if (cmd == NULL) {
        return NGX_ERROR;
    }

    cmd->step = step;

    ngx_queue_insert_tail(&r->queued, &cmd->queue);

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_redis_login_reply(ngx_mqtt_redis_t *r, ngx_uint_t step,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_str_t   *role;
    ngx_uint_t   error;

    error = (reply->type == NGX_MQTT_REDIS_ERROR);

    switch (step) {

    case NGX_MQTT_REDIS_STEP_AUTH:

        if (error) {
            ngx_mqtt_redis_login_failed(r, "AUTH refused", reply);
            return NGX_ERROR;
        }

        break;

    case NGX_MQTT_REDIS_STEP_SELECT:

        if (error) {
            ngx_mqtt_redis_login_failed(r, "SELECT refused", reply);
            return NGX_ERROR;
        }

        break;

    case NGX_MQTT_REDIS_STEP_ROLE:

        /* a user who may not ask has to rely on READONLY */

        if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts == 0) {
            break;
        }

        role = &reply->elts[0]->str;

        if (role->len != sizeof("master") - 1
            || ngx_strncmp(role->data, "master", sizeof("master") - 1) != 0)
        {
            ngx_mqtt_redis_lost(r, 0, "not a primary but", role);
            return NGX_ERROR;
        }

        break;

    case NGX_MQTT_REDIS_STEP_SLOTS:

        if (error) {
            ngx_mqtt_redis_login_failed(r, "CLUSTER SLOTS refused", reply);
            return NGX_ERROR;
        }

        return ngx_mqtt_redis_cluster_slots(r, reply);

    case NGX_MQTT_REDIS_STEP_WAIT:
        return ngx_mqtt_redis_replicas_reply(r, reply);

    case NGX_MQTT_REDIS_STEP_PING:

        if (error) {
            ngx_mqtt_redis_login_failed(r, "PING refused", reply);
            return NGX_ERROR;
        }

        ngx_mqtt_redis_login_done(r);
        break;

    default: /* SETNAME, SCRIPT, ASKING */

        /* without the right to do this everything works all the same */

        break;
    }

    return NGX_OK;
}


/*
 * Redis repeats the arguments of a command that it does not know, the
 * password among them: "ERR unknown command 'AUTH', with args ...".
 */

static void
ngx_mqtt_redis_login_failed(ngx_mqtt_redis_t *r, char *text,
    ngx_mqtt_redis_reply_t *reply)
{
    size_t     i;
    ngx_str_t  detail;

    detail = reply->str;

    for (i = 0; i < detail.len; i++) {
        if (detail.data[i] == ',' || detail.data[i] == ':') {
            detail.len = i;
        }
    }

    ngx_mqtt_redis_lost(r, 0, text, &detail);
}


static void
ngx_mqtt_redis_login_done(ngx_mqtt_redis_t *r)
{
    r->state = NGX_MQTT_REDIS_READY;
    r->log.log_level = r->worker->log->log_level;
    r->log.action = "waiting for Redis";

    if (!r->own && !ngx_mqtt_redis_is_node(r)) {
        ngx_mqtt_count(r->worker, NGX_MQTT_STAT_redis_up);
    }

    if (!r->own && r->seen) {
        ngx_mqtt_count(r->worker, NGX_MQTT_STAT_redis_reconnects);
    }

    if (r->down && !r->own) {
        ngx_log_error(NGX_LOG_NOTICE, r->worker->log, 0,
                      "Redis is back, %ui commands waited, gateway: \"%V\", "
                      "redis: \"%V\"", r->pending,
                      &r->worker->gateway->name, r->peer.name);
    }

    r->seen = 1;
    r->down = 0;
    r->quiet = 0;
    r->warned = 0;
    r->tried = 0;
    r->heard = ngx_current_msec;

    ngx_mqtt_redis_set_timer(r, r->conf->timeout);
    ngx_mqtt_redis_hold(r);

    ngx_post_event(&r->flush, &ngx_posted_events);

    if (ngx_mqtt_redis_is_node(r)) {
        ngx_mqtt_redis_cluster_ready(r);
    }
}
