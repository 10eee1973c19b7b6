
# the Lua scripts as a C header; every object depends on it through ADDON_DEPS

mqtt_lua_deps=`echo $mqtt_lua_srcs | sed -e "s/  *\([^ ]\)/$ngx_regex_cont\1/g"`

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/ngx_mqtt_redis_lua.h:	$ngx_addon_dir/config$ngx_cont$ngx_addon_dir/ngx_mqtt_module/redis/lua/embed.awk$ngx_cont$mqtt_lua_deps
	LC_ALL=C awk -f $ngx_addon_dir/ngx_mqtt_module/redis/lua/embed.awk $mqtt_lua_srcs < /dev/null > $NGX_OBJS/ngx_mqtt_redis_lua.tmp
	mv $NGX_OBJS/ngx_mqtt_redis_lua.tmp $NGX_OBJS/ngx_mqtt_redis_lua.h

END
