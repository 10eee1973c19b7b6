
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Scripts: the Lua texts of redis/lua, known to Redis by their SHA1.
 *
 * (1) Every login loads all scripts, so EVALSHA finds them; only a SCRIPT
 *     FLUSH, or a user who may not load, leads to NOSCRIPT.
 * (2) On NOSCRIPT the command is sent once more behind everything else, with
 *     the text (EVAL, which loads it) unless such an EVAL is already on its
 *     way: a full pipeline of forgotten scripts costs one text.
 * (3) The order of a command and of those sent before its NOSCRIPT came back
 *     is not kept; whoever needs an order awaits the reply.
 *
 * Called from: any room (ngx_mqtt_redis_script), redis/.
 */


#define NGX_MQTT_LUA_TEXTS  1

#include "ngx_mqtt_redis_core.h"

#include <ngx_sha1.h>


#define NGX_MQTT_REDIS_EVALSHA  "$7\r\nEVALSHA\r\n$40\r\n"


ngx_int_t
ngx_mqtt_redis_script_init(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf)
{
    u_char       digest[20];
    ngx_str_t   *text;
    ngx_sha1_t   sha1;
    ngx_uint_t   i;

    conf->sha1 = ngx_pnalloc(cf->pool,
                             (NGX_MQTT_LUA_MAX + 1) * NGX_MQTT_REDIS_SHA1);
    if (conf->sha1 == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MQTT_LUA_MAX; i++) {
        text = &ngx_mqtt_lua_scripts[i].text;

        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, text->data, text->len);
        ngx_sha1_final(digest, &sha1);

        ngx_hex_dump(conf->sha1[i], digest, sizeof(digest));
    }

    return NGX_OK;
}


ngx_str_t *
ngx_mqtt_redis_script_text(ngx_uint_t script)
{
    return &ngx_mqtt_lua_scripts[script].text;
}


void
ngx_mqtt_redis_script(ngx_mqtt_redis_t *r, ngx_uint_t script, ngx_uint_t nkeys,
    ngx_uint_t argc, ngx_str_t *argv, ngx_uint_t flags, ngx_mqtt_op_t *op)
{
    u_char                *p, number[NGX_INT_T_LEN];
    ngx_str_t              head[3];
    ngx_mqtt_redis_cmd_t  *cmd;

    ngx_str_set(&head[0], "EVALSHA");

    head[1].len = NGX_MQTT_REDIS_SHA1;
    head[1].data = r->conf->sha1[script];

    head[2].data = number;
    head[2].len = ngx_sprintf(number, "%ui", nkeys) - number;

    cmd = ngx_mqtt_redis_cmd_create(r, 3, head, argc, argv);

    if (cmd) {
        p = ngx_mqtt_redis_cmd_data(cmd);
        p = ngx_strlchr(p, p + cmd->size, LF) + 1;

        cmd->script = script;

        if (r->cluster) {
            cmd->slot = ngx_mqtt_redis_slot(1, argv);
        }

        cmd->tail = p - ngx_mqtt_redis_cmd_data(cmd)
                    + sizeof(NGX_MQTT_REDIS_EVALSHA) - 1
                    + NGX_MQTT_REDIS_SHA1 + sizeof(CRLF) - 1;
    }

    ngx_mqtt_redis_submit(r, cmd, flags, op);
}


ngx_int_t
ngx_mqtt_redis_script_retry(ngx_mqtt_redis_t *r, ngx_mqtt_redis_cmd_t *cmd)
{
    u_char                *p, head[64];
    size_t                 size, rest;
    ngx_str_t             *text;
    ngx_mqtt_redis_cmd_t  *eval;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &r->log, 0,
                   "mqtt redis script unknown: \"%V\", evals:%uD",
                   &ngx_mqtt_lua_scripts[cmd->script].name,
                   r->evals[cmd->script]);

    if (r->evals[cmd->script]) {
        ngx_mqtt_redis_requeue(r, cmd);
        return NGX_OK;
    }

    text = &ngx_mqtt_lua_scripts[cmd->script].text;
    rest = cmd->size - cmd->tail;

    p = ngx_sprintf(head, "*%uD" CRLF "$4" CRLF "EVAL" CRLF "$%uz" CRLF,
                    cmd->argc, text->len);

    size = (p - head) + text->len + sizeof(CRLF) - 1 + rest;

    eval = ngx_mqtt_alloc(r->worker, sizeof(ngx_mqtt_redis_cmd_t) + size);
    if (eval == NULL) {
        return NGX_ERROR;
    }

    *eval = *cmd;
    eval->size = size;
    eval->eval = 1;

    p = ngx_cpymem(ngx_mqtt_redis_cmd_data(eval), head, p - head);
    p = ngx_cpymem(p, text->data, text->len);
    *p++ = CR; *p++ = LF;
    ngx_memcpy(p, ngx_mqtt_redis_cmd_data(cmd) + cmd->tail, rest);

    r->evals[cmd->script]++;
    r->front->size += size;

    ngx_mqtt_redis_requeue(r, eval);
    ngx_mqtt_redis_cmd_free(r, cmd);

    return NGX_OK;
}
