#
# Copyright (C) ngx_mqtt_module authors
#
# Everything that is built lands in build/; "make help" lists the targets.
#
# The module itself is built by nginx's own configure and the file "config";
# this file only fetches nginx's sources, calls configure where an input of
# it has changed, and then always calls nginx's own Makefile, which rebuilds
# what is out of date.
#

SHELL         = /bin/bash
.SHELLFLAGS   = -e -o pipefail -c
.DELETE_ON_ERROR:

JOBS         ?= 2
CC           ?= cc
FUZZ_SECONDS ?= 600

NGINX_CRATE   = 1.28.5
KAFKA_SCALA   = 2.13
KAFKA_VERSION = 4.3.1
SLF4J_VERSION = 1.7.36
MQTTJS_VERSION = 5.16.0

BUILD         = $(CURDIR)/build
SUBMAKE       = $(MAKE) --no-print-directory -j$(JOBS)
NGINX_MAKE    = $(SUBMAKE) $(if $(V),,-s)

# what makes configure's output stale

CONFIGURE_IN  = config config.make Makefile

STATIC_OPTS   = --with-debug --with-compat --with-threads \
		--with-stream --with-stream_ssl_module \
		--with-stream_ssl_preread_module --with-stream_realip_module \
		--with-http_ssl_module --with-http_v2_module \
		--with-http_auth_request_module \
		--with-http_stub_status_module --with-http_realip_module \
		--error-log-path=stderr

SANITIZE      = -fsanitize=address,undefined -fno-omit-frame-pointer

.PHONY: all static asan tools deps kafka mqttjs test test-stock test-asan \
	unit style fuzz soak bench demo run install clean distclean help FORCE


all: build/ngx_mqtt_module.so

help:
	@echo 'make            build/ngx_mqtt_module.so for the stock nginx'
	@echo 'make install    copy it into the directory of nginx modules'
	@echo 'make static     build/static/nginx, the module linked in'
	@echo 'make asan       the same under ASan and UBSan: build/asan/nginx'
	@echo 'make demo       messages between MQTT clients and kcat, explained'
	@echo 'make run        the stack of the demo, until Ctrl-C'
	@echo 'make test       every test, stock nginx, then the ASan build'
	@echo 'make test-stock, make test-asan'
	@echo '                one half of it; TESTS="t/a.t t/b.t" selects files'
	@echo 'make unit       the unit tests of the codec and the mapping'
	@echo 'make fuzz       fuzzing for FUZZ_SECONDS=600'
	@echo 'make soak       a long run under ASan for SOAK_SECONDS=600'
	@echo 'make bench      CPU per message and memory per client, with BENCH_DIR='
	@echo 'make style      the style and include-direction checks only'
	@echo 'make deps       install what is missing (Debian 12, root)'
	@echo 'make kafka      download Apache Kafka to build/kafka'
	@echo 'make mqttjs     download MQTT.js to build/mqttjs'
	@echo 'make V=1        with the commands of the compiler'
	@echo 'make clean      remove build/ except downloads; distclean: all'


# the stock nginx of Debian: its sources come with nginx-dev

build/nginx-dev/configure:
	@src=`dpkg -L nginx-dev 2>/dev/null | grep '/conf_flags$$'` || \
	    { echo "nginx-dev is missing: run 'make deps'" >&2; exit 1; }; \
	mkdir -p build; \
	rm -rf build/nginx-dev build/nginx-dev.tmp; \
	cp -R "`dirname $$src`" build/nginx-dev.tmp; \
	mv build/nginx-dev.tmp build/nginx-dev
	@touch $@

build/stock/Makefile: build/nginx-dev/configure $(CONFIGURE_IN)
	@rm -f $@
	@mkdir -p build/stock
	@echo "configuring for the stock nginx"
	@cd build/nginx-dev && . ./conf_flags && \
	cflags="`dpkg-buildflags --get CFLAGS`" && \
	cppflags="`dpkg-buildflags --get CPPFLAGS`" && ./configure \
	    --with-cc-opt="$$cflags -fPIC $$cppflags" \
	    --with-ld-opt="`dpkg-buildflags --get LDFLAGS` -fPIC" \
	    "$${NGX_CONF_FLAGS[@]}" \
	    --with-stream=dynamic --with-stream_ssl_module \
	    --with-stream_ssl_preread_module --with-stream_realip_module \
	    --add-dynamic-module=$(CURDIR) --builddir=$(BUILD)/stock \
	    > $(BUILD)/stock.configure.log \
	    || { tail -n 5 $(BUILD)/stock.configure.log >&2; exit 1; }

build/ngx_mqtt_module.so: build/stock/Makefile FORCE
	@cd build/nginx-dev && $(NGINX_MAKE) -f $(BUILD)/stock/Makefile \
	    $(BUILD)/stock/ngx_mqtt_module.so
	@cmp -s build/stock/ngx_mqtt_module.so $@ || \
	    { cp build/stock/ngx_mqtt_module.so $@.tmp && mv $@.tmp $@; \
	      echo "$@ is ready"; }

install: build/ngx_mqtt_module.so
	@dir=`nginx -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p'`; \
	test -n "$$dir" || { echo "no modules path in nginx -V" >&2; exit 1; }; \
	install -D -m 644 $< "$(DESTDIR)$$dir/ngx_mqtt_module.so"; \
	echo "installed into $(DESTDIR)$$dir"


# a current nginx, from the crate that carries its sources: cargo is only
# the downloader, what else the crate depends on is thrown away

build/nginx-src/auto/configure:
	@t/tools/deps static
	@echo "downloading the sources of nginx $(NGINX_CRATE)"
	@rm -rf build/crate build/nginx-src
	@mkdir -p build/crate/src
	@touch build/crate/src/lib.rs
	@printf '%s\n' '[package]' 'name = "fetch"' 'version = "0.0.0"' \
	    'edition = "2021"' '[workspace]' '[dependencies]' \
	    'nginx-src = "=$(NGINX_CRATE)"' > build/crate/Cargo.toml
	@cd build/crate && cargo vendor -q vendor > /dev/null
	@mv build/crate/vendor/nginx-src/nginx build/nginx-src
	@rm -rf build/crate
	@touch $@

build/static/Makefile: build/nginx-src/auto/configure $(CONFIGURE_IN)
	@rm -f $@
	@mkdir -p build/static
	@echo "configuring nginx $(NGINX_CRATE)"
	@cd build/nginx-src && ./auto/configure $(STATIC_OPTS) \
	    --with-cc-opt='-O2 -g' \
	    --add-module=$(CURDIR) --builddir=$(BUILD)/static \
	    > $(BUILD)/static.configure.log \
	    || { tail -n 5 $(BUILD)/static.configure.log >&2; exit 1; }

build/static/nginx static: build/static/Makefile FORCE
	@cd build/nginx-src && $(NGINX_MAKE) -f $(BUILD)/static/Makefile \
	    $(BUILD)/static/nginx

build/asan/Makefile: build/nginx-src/auto/configure $(CONFIGURE_IN)
	@rm -f $@
	@mkdir -p build/asan
	@echo "configuring nginx $(NGINX_CRATE) with sanitizers"
	@cd build/nginx-src && ./auto/configure $(STATIC_OPTS) \
	    --with-cc-opt='-O1 -g $(SANITIZE) -DNGX_DEBUG_PALLOC=1' \
	    --with-ld-opt='$(SANITIZE)' \
	    --add-module=$(CURDIR) --builddir=$(BUILD)/asan \
	    > $(BUILD)/asan.configure.log \
	    || { tail -n 5 $(BUILD)/asan.configure.log >&2; exit 1; }

build/asan/nginx asan: build/asan/Makefile FORCE
	@cd build/nginx-src && $(NGINX_MAKE) -f $(BUILD)/asan/Makefile \
	    $(BUILD)/asan/nginx


# Apache Kafka, as jars

kafka: build/kafka/.$(KAFKA_VERSION)

build/kafka/.$(KAFKA_VERSION):
	@t/tools/deps kafka
	@t/tools/fetch_kafka build/kafka $(KAFKA_SCALA) $(KAFKA_VERSION) \
	    $(SLF4J_VERSION)
	@touch $@


# MQTT.js, for the page of the demo

mqttjs: build/mqttjs/.$(MQTTJS_VERSION)

build/mqttjs/.$(MQTTJS_VERSION):
	@t/tools/deps npm
	@t/tools/fetch_mqttjs build/mqttjs $(MQTTJS_VERSION)
	@touch $@


# helpers of the tests

tools: build/tools/kafka_tool

build/tools/kafka_tool: t/tools/kafka_tool.c
	@mkdir -p build/tools
	$(CC) -O2 -g -W -Wall -Wno-unused-parameter -Werror \
	    -o $@ $< -lrdkafka

deps:
	@t/tools/deps build static kafka npm demo test


# the tests

test: all asan tools kafka mqttjs
	@t/tools/run_tests stock asan

test-stock: all tools kafka mqttjs
	@t/tools/run_tests stock

test-asan: asan tools kafka mqttjs
	@t/tools/run_tests asan

unit:
	@prove t/unit.t

fuzz:
	@TEST_FUZZ_SECONDS=$(FUZZ_SECONDS) prove -v t/fuzz_smoke.t

style:
	@prove t/style.t t/includes.t

soak: asan
	@t/tools/soak

bench: all tools kafka
	@t/tools/bench $(CASES)


# the demonstration

demo:
	@t/tools/deps build kafka npm demo
	@$(MAKE) $(if $(V),,-s) --no-print-directory all tools kafka mqttjs
	@demo/demo

run:
	@t/tools/deps build kafka npm demo
	@$(MAKE) $(if $(V),,-s) --no-print-directory all tools kafka mqttjs
	@demo/demo --run


clean:
	rm -rf build/stock build/static build/asan build/tools build/test \
	    build/unit build/fuzz build/bench build/*.log build/ngx_mqtt_module.so

distclean:
	rm -rf build
