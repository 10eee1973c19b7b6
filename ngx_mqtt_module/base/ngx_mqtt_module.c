
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The core module: the list of the gateways of a cycle, so that the stream
 * and the http module find the same ones.  Nothing else happens here: worker
 * life belongs to the stream module (P12, P13).
 */


#include "ngx_mqtt.h"


static void *ngx_mqtt_module_create_conf(ngx_cycle_t *cycle);


static ngx_core_module_t  ngx_mqtt_module_ctx = {
    ngx_string("mqtt"),
    ngx_mqtt_module_create_conf,
    NULL
};


ngx_module_t  ngx_mqtt_module = {
    NGX_MODULE_V1,
    &ngx_mqtt_module_ctx,                  /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_array_t *
ngx_mqtt_gateways(ngx_cycle_t *cycle)
{
    return (ngx_array_t *) ngx_get_conf(cycle->conf_ctx, ngx_mqtt_module);
}


ngx_mqtt_gateway_t *
ngx_mqtt_gateway_find(ngx_cycle_t *cycle, ngx_str_t *name)
{
    ngx_uint_t            i;
    ngx_array_t          *gateways;
    ngx_mqtt_gateway_t  **gwp;

    gateways = ngx_mqtt_gateways(cycle);
    gwp = gateways->elts;

    for (i = 0; i < gateways->nelts; i++) {

        if (gwp[i]->name.len == name->len
            && ngx_strncmp(gwp[i]->name.data, name->data, name->len) == 0)
        {
            return gwp[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_mqtt_gateway_add(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_mqtt_gateway_t  **gwp;

    gwp = ngx_array_push(ngx_mqtt_gateways(cf->cycle));
    if (gwp == NULL) {
        return NGX_ERROR;
    }

    *gwp = gw;

    return NGX_OK;
}


static void *
ngx_mqtt_module_create_conf(ngx_cycle_t *cycle)
{
    return ngx_array_create(cycle->pool, 1, sizeof(ngx_mqtt_gateway_t *));
}
