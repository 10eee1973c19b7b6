package MqttTest;

# Copyright (C) ngx_mqtt_module authors

# Starts and stops nginx with the module, Redis and Kafka for one test file.
#
#     use FindBin;
#     use lib "$FindBin::Bin/lib";
#     use MqttTest;
#     use Test::More tests => 2;
#
#     my $t = MqttTest->new;
#     $t->write_conf(workers => 2, gateway => 'drain_rate 100;');
#     $t->run;
#
#     my $c = $t->client(version => 4, client_id => 'a');
#     $c->publish('x/y', 'payload', qos => 1);
#     $c->expect('PUBACK', packet_id => 1);
#     $c->expect_alive;
#
# The nginx under test is TEST_NGINX_BINARY, with the module inside, or the
# stock one with build/ngx_mqtt_module.so (or TEST_NGINX_MODULE).  Other
# variables: TEST_MQTT_LEAVE=1 keeps the directory, TEST_MQTT_DEBUG=1 logs at
# debug level, TEST_MQTT_TIMEOUT=n seconds for the file (120), TEST_MQTT_SLOW=n
# factor of all deadlines (4 with sanitizers), TEST_MQTT_TLS=1 has TLS at port
# "mqtt", see t/tls_wire.t.
#
# At the end of a file every nginx that still runs is stopped gracefully, and
# the file fails if workers exited with anything but 0, if the error log has an
# alert, an emergency, an open socket or a sanitizer's report, or if objects
# are still alive after the last client has gone.
#
#   configuration, written before run()
#     $t->write_conf(%parts)      a configuration around these parts, strings:
#                                   workers (number), kafka (1: with Kafka),
#                                   main, events, gateway, stream, server (in
#                                   the block listening on port "mqtt"),
#                                   servers (more blocks), http, zone, listen
#                                   (parameters of port "mqtt")
#     $t->write_file($name, $text), $t->write_file_expand($name, $text)
#                                 "expand" replaces %%PORT_name%%, %%REDIS%%,
#                                 %%KAFKA%% (both started when first named),
#                                 %%TESTDIR%%, %%GLOBALS%%, %%HTTP_GLOBALS%%
#     $t->certs                   ca.crt, server.crt, .key, client.crt, .key in
#                                 %%TESTDIR%%
#     ($output, $rc) = $t->nginx_t($text, $name)
#                                 "nginx -t" of an expanded configuration
#     ($output, $rc) = $t->nginx_t_conf(%parts)
#                                 the same around parts, see write_conf
#     $t->line_of(qr//, $name)    number of the line in that configuration
#
#   processes
#     $t->run(%options)           die unless it starts; ready => 0: do not wait
#                                 until the gateway is connected to Redis
#     $t->reload                  false if the new configuration is refused
#     $t->stop                    graceful (QUIT), $t->stop_fast (TERM); true
#                                 if in time and with exit code 0
#     $t->kill_hard               SIGKILL to the master and all workers
#     $t->kill_worker($pid)       SIGKILL to one, expected in the log
#     $t->signal($name)           to the master
#     $t->master_pid, $t->worker_pids, $t->old_worker_pids
#     $t->memory($pid), $t->fds($pid)      resident bytes, open files
#
#   around it
#     $t->redis, $t->kafka        MqttTest::Redis, MqttTest::Kafka; started at
#                                 first use; MqttTest->new(redis => $r) shares
#     $t->port($name), $t->dir
#     $t->client(%args)           MqttTest::Client->open at port "mqtt", or at
#                                 port => 'name'; $t->socket: ->new
#     $t->accepted(%args)         ->client, tried until CONNECT is accepted
#     $t->client_at($pid, %args)  the same at one worker, $t->socket_at: ->new;
#                                 quick with listen => 'reuseport'
#     $t->http_get($uri)          body, or (body, status, headers) in a list
#     $t->status                  the status page, decoded
#     $t->total($counter)         sum over all gateways, dead workers included
#     $t->wait_total($counter, $value, $seconds)
#                                 waits until it is
#     $t->error_log, $t->wait_log(qr//, $seconds)
#     $t->allow_log(qr//)         such a line is no failure
#     $t->leak_check              called at the end; a test can ask earlier
#
# wait_for { condition } $seconds and now() are exported.

use warnings;
use strict;

use Exporter qw/ import /;
use Test::More ();

use File::Temp;
use IO::Socket::INET;
use JSON::PP ();
use Scalar::Util qw/ looks_like_number /;

use MqttTest::Client;
use MqttTest::Kafka;
use MqttTest::Redis;
use MqttTest::Util qw/ wait_for now free_port slow slurp append root /;

our @EXPORT = qw/ wait_for now /;


my @instances;
my %versions;

$SIG{PIPE} = 'IGNORE';
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { die "killed by SIG$_[0]\n" };
$SIG{ALRM} = sub { die "the test file timed out\n" };


sub new {
    my ($class, %args) = @_;

    my $self = bless {
        ports   => {},
        allowed => [],
        %args,
    }, $class;

    $self->{temp} = File::Temp->newdir('mqtt-test-XXXXXX', TMPDIR => 1,
                                       CLEANUP => !$ENV{TEST_MQTT_LEAVE});
    $self->{dir} = $self->{temp}->dirname;

    # workers are not root

    chmod 0755, $self->{dir};

    Test::More::diag("kept: $self->{dir}") if $ENV{TEST_MQTT_LEAVE};

    $ENV{TEST_MQTT_SLOW} //= 4 if version() =~ /-fsanitize/;

    alarm slow($ENV{TEST_MQTT_TIMEOUT} || 120) if !@instances;

    push @instances, $self;

    return $self;
}


sub dir   { return $_[0]{dir} }
sub port  { return $_[0]{ports}{$_[1]} //= free_port() }


sub redis {
    my ($self) = @_;

    return $self->{redis} //= MqttTest::Redis->new(dir => $self->{dir});
}


sub kafka {
    my ($self) = @_;

    return $self->{kafka} //= MqttTest::Kafka->shared;
}


###############################################################################
# the binary


sub binary {
    return $ENV{TEST_NGINX_BINARY} if $ENV{TEST_NGINX_BINARY};

    for my $dir (split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin') {
        return "$dir/nginx" if -x "$dir/nginx";
    }

    die "no nginx: run 'make deps'\n";
}


sub version {
    my $binary = binary();

    return $versions{$binary} //= `$binary -V 2>&1`;
}


sub load_modules {
    return () if $ENV{TEST_NGINX_BINARY};

    my $module = $ENV{TEST_NGINX_MODULE}
                 // root() . '/build/ngx_mqtt_module.so';

    die "no $module: run 'make'\n" if !-f $module;

    my ($dir) = version() =~ /--modules-path=(\S+)/;

    return ("load_module $dir/ngx_stream_module.so", "load_module $module");
}


###############################################################################
# files


sub write_file {
    my ($self, $name, $text) = @_;

    my $file = "$self->{dir}/$name";

    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $text;
    close $fh;

    return $file;
}


sub expand {
    my ($self, $text) = @_;

    my $level = $ENV{TEST_MQTT_DEBUG} ? 'debug' : 'info';
    my $dir = $self->{dir};

    # on one line each: the line numbers of errors are those of the test

    my @globals = (load_modules(), 'daemon off', "pid $dir/nginx.pid",
                   "error_log $dir/error.log $level");
    my @http = ('access_log off',
                map { "${_}_temp_path $dir/${_}_temp" }
                    qw/ client_body proxy fastcgi uwsgi scgi /);

    $text =~ s/%%GLOBALS%%/join ' ', map { "$_;" } @globals/e;
    $text =~ s/%%HTTP_GLOBALS%%/join ' ', map { "$_;" } @http/e;
    $text =~ s/%%TESTDIR%%/$dir/g;
    $text =~ s/%%PORT_(\w+)%%/$self->port($1)/ge;
    $text =~ s/%%REDIS%%/$self->redis->address/ge;
    $text =~ s/%%KAFKA%%/$self->kafka->bootstrap/ge;

    die "unknown $1 in a configuration\n" if $text =~ /(%%\w+%%)/;

    return $text;
}


sub write_file_expand {
    my ($self, $name, $text) = @_;

    return $self->write_file($name, $self->expand($text));
}


sub conf {
    my ($self, %parts) = @_;

    my %known = map { $_ => 1 } qw/ workers kafka main events gateway stream
                                    server servers http zone listen /;

    for my $part (keys %parts) {
        die "write_conf: no part \"$part\"\n" if !$known{$part};
    }

    my $p = sub { $parts{$_[0]} // '' };

    my $workers = $parts{workers} // 1;
    my $zone = $parts{zone} // '4m';
    my $kafka = $parts{kafka} ? "kafka %%KAFKA%%;" : '';

    # a consumer group of its own: files share one Kafka

    $kafka .= ' kafka_set group.id %%TESTDIR%%;'
        if $kafka && $p->('gateway') !~ /group\.id/;

    my $auth = $p->('gateway') =~ /^\s*auth\s/m ? '' : 'auth anonymous;';
    my $listen = $p->('listen');
    my $tls = '';

    if ($ENV{TEST_MQTT_TLS}) {
        $self->certs;

        $listen .= ' ssl';
        $tls = 'ssl_certificate %%TESTDIR%%/server.crt;'
               . ' ssl_certificate_key %%TESTDIR%%/server.key;';
    }

    return <<"END";
%%GLOBALS%%
worker_processes $workers;
worker_rlimit_nofile 8192;
@{[ $p->('main') ]}

events {
    worker_connections 4096;
    @{[ $p->('events') ]}
}

stream {
    @{[ $p->('stream') ]}

    mqtt_gateway test {
        zone $zone;
        redis %%REDIS%%;
        $kafka
        $auth
        @{[ $p->('gateway') ]}
    }

    server {
        listen 127.0.0.1:%%PORT_mqtt%% $listen;
        mqtt_pass test; $tls
        @{[ $p->('server') ]}
    }

    @{[ $p->('servers') ]}
}

http {
    %%HTTP_GLOBALS%%

    server {
        listen 127.0.0.1:%%PORT_http%%;

        location /mqtt {
            mqtt_status;
        }
    }

    @{[ $p->('http') ]}
}
END
}


sub write_conf {
    my ($self, %parts) = @_;

    return $self->write_file_expand('nginx.conf', $self->conf(%parts));
}


sub nginx_t {
    my ($self, $text, $name) = @_;

    my $file = $self->write_file_expand($name // 'test.conf', $text);
    my $command = join ' ', binary(), '-t', '-p', "$self->{dir}/", '-c', $file,
                       '-e', "$self->{dir}/test.log", '2>&1';

    # a trace of what nginx itself does takes longer than the whole rest

    local %ENV = (%ENV, $self->sanitizer_env(0),
                  UBSAN_OPTIONS => 'print_stacktrace=0');

    my $output = `$command`;

    return ($output, $? >> 8);
}


sub line_of {
    my ($self, $re, $name) = @_;

    my @lines = split /\n/, slurp("$self->{dir}/" . ($name // 'test.conf'));
    my ($i) = grep { $lines[$_] =~ $re } 0 .. $#lines;

    return defined $i ? $i + 1 : undef;
}


sub nginx_t_conf {
    my ($self, %parts) = @_;

    return $self->nginx_t($self->conf(%parts));
}


sub certs {
    my ($self) = @_;

    my $dir = $self->{dir};

    return $dir if -f "$dir/client.crt";

    my $openssl = sub {
        my $command = "cd $dir && openssl @_ >> openssl.log 2>&1";

        system($command) == 0
            or die "openssl @_ failed:\n" . slurp("$dir/openssl.log");
    };

    my $key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';

    $openssl->("req -x509 $key -days 30 -subj /CN=test-ca"
               . " -keyout ca.key -out ca.crt");

    $self->write_file('san.ext', 'subjectAltName=DNS:localhost,IP:127.0.0.1');

    for my $name (qw/ server client /) {
        my $cn = $name eq 'server' ? 'localhost' : 'device-1';

        $openssl->("req -new $key -subj /CN=$cn -keyout $name.key"
                   . " -out $name.csr");
        $openssl->("x509 -req -days 30 -in $name.csr -CA ca.crt -CAkey ca.key"
                   . " -CAcreateserial -extfile san.ext -out $name.crt");
    }

    return $dir;
}


###############################################################################
# processes


# What nginx itself leaves to the end of a process is no leak: the connections
# of a worker, everything of "nginx -t".

sub sanitizer_env {
    my ($self, $leaks) = @_;

    my $file = "$self->{dir}/lsan.supp";

    $self->write_file('lsan.supp', "leak:ngx_event_process_init\n")
        if !-f $file;

    return (
        ASAN_OPTIONS  => "exitcode=77:detect_leaks=$leaks",
        LSAN_OPTIONS  => "suppressions=$file:print_suppressions=0",
        UBSAN_OPTIONS => 'print_stacktrace=1',
    );
}


sub run {
    my ($self, %options) = @_;

    my $dir = $self->{dir};

    die "nginx is already running\n"
        if $self->{nginx} && $self->{nginx}->alive;

    unlink "$dir/nginx.pid";
    append("$dir/error.log", '');

    $self->{workers} = $self->conf_workers;

    $self->{nginx} = MqttTest::Util->spawn(
        name          => 'nginx',
        log           => "$dir/stderr.log",
        parent_signal => 15,
        env           => { $self->sanitizer_env(1) },
        command       => [ binary(), '-p', "$dir/", '-c', "$dir/nginx.conf",
                           '-e', "$dir/error.log" ],
    );

    my $started = wait_for {
        !$self->{nginx}->alive
            || -s "$dir/nginx.pid"
               && $self->worker_pids == $self->{workers};
    } 20;

    if (!$started || !$self->{nginx}->alive) {
        $self->{nginx}->stop('TERM', 2);
        $self->{broken} = 1;
        die "nginx did not start:\n" . slurp("$dir/stderr.log")
            . $self->error_log . "\n";
    }

    $self->wait_ready if $options{ready} // 1;

    return $self;
}


# CONNECTs are refused before the workers are connected to Redis

sub wait_ready {
    my ($self) = @_;

    return 1 if !$self->has_status;

    return wait_for {
        my @up = values_of(eval { $self->status } || {}, 'redis_up');

        !grep { !$_ } @up;
    } 10;
}


sub master_pid {
    my ($self) = @_;

    return $self->{nginx}->pid;
}


sub conf_workers {
    my ($self) = @_;

    my ($n) = slurp("$self->{dir}/nginx.conf")
              =~ /^\s*worker_processes\s+(\d+)/m;

    return $n // 1;
}


sub children {
    my ($self) = @_;

    my $pid = $self->master_pid;
    my %title;

    for my $child (split ' ', slurp("/proc/$pid/task/$pid/children")) {
        $title{$child} = slurp("/proc/$child/cmdline");
    }

    return %title;
}


sub worker_pids {
    my ($self) = @_;

    my %title = $self->children;

    my @pids = sort { $a <=> $b }
               grep { $title{$_} =~ /worker process(?! is shutting down)/ }
               keys %title;

    return @pids;
}


sub old_worker_pids {
    my ($self) = @_;

    my %title = $self->children;

    my @pids = sort { $a <=> $b }
               grep { $title{$_} =~ /worker process is shutting down/ }
               keys %title;

    return @pids;
}


sub signal {
    my ($self, $name) = @_;

    return $self->{nginx}->kill($name);
}


sub reload {
    my ($self) = @_;

    my %before = map { $_ => 1 } $self->worker_pids;
    my $mark = -s "$self->{dir}/error.log";

    my $workers = $self->conf_workers;

    $self->signal('HUP');

    my $done = wait_for {
        my $refused = substr($self->error_log, $mark) =~ /\[emerg\]/;
        my @workers = $self->worker_pids;
        my @new = grep { !$before{$_} } @workers;

        # the old ones do not accept any more

        $refused ? 'refused'
        : @new == $workers && @workers == $workers ? 'reloaded' : '';
    } 20;

    die "reload was not finished in time\n" if !$done;
    return 0 if $done eq 'refused';

    $self->{workers} = $workers;
    $self->wait_ready;

    return 1;
}


sub stop {
    my ($self, $signal) = @_;

    my $nginx = $self->{nginx} or return 1;

    return 1 if !$nginx->alive;

    my @workers = ($self->worker_pids, $self->old_worker_pids);

    # all workers are gone when the master is

    my $in_time = $nginx->stop($signal // 'QUIT', 20);

    if (!$in_time) {
        CORE::kill('KILL', @workers);
    }

    return $in_time && $nginx->status == 0;
}


sub stop_fast {
    my ($self) = @_;

    return $self->stop('TERM');
}


sub kill_hard {
    my ($self) = @_;

    my @workers = ($self->worker_pids, $self->old_worker_pids);

    $self->{nginx}->kill('KILL');
    CORE::kill('KILL', @workers);
    $self->{nginx}->wait(10);

    return wait_for { !grep { CORE::kill(0, $_) } @workers } 10;
}


sub kill_worker {
    my ($self, $pid) = @_;

    # nginx tells of a lock, and opens it, if the worker was in it

    $self->allow_log(qr/worker process $pid exited on signal 9/,
                     qr/shared memory zone "\S+" was locked by $pid/);

    CORE::kill('KILL', $pid);

    return wait_for {
        my @workers = $self->worker_pids;

        @workers == $self->{workers} && !grep { $_ == $pid } @workers;
    } 10;
}


sub memory {
    my ($self, $pid) = @_;

    my ($kb) = slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;

    return $kb * 1024;
}


sub fds {
    my ($self, $pid) = @_;

    return scalar(() = glob "/proc/$pid/fd/*");
}


###############################################################################
# talking to it


sub client_args {
    my ($self, %args) = @_;

    $args{port} //= 'mqtt';
    $args{ssl} //= 1 if $ENV{TEST_MQTT_TLS} && $args{port} eq 'mqtt';
    $args{port} = $self->port($args{port}) if !looks_like_number($args{port});

    return %args;
}


sub client {
    my ($self, %args) = @_;

    return MqttTest::Client->open($self->client_args(%args));
}


sub socket {
    my ($self, %args) = @_;

    return MqttTest::Client->new($self->client_args(%args));
}


# as a device does that was cut off; the connection itself may fail as well

sub accepted {
    my ($self, %args) = @_;

    my $c;

    wait_for { $c = eval { $self->client(%args) } } 20
        or die "CONNECT was not accepted: $@";

    return $c;
}


# The kernel chooses the worker, the log tells which one it is.

sub socket_at {
    my ($self, $pid, %args) = @_;

    for (1 .. 200) {
        my $c = $self->socket(%args);
        my $port = $c->local_port;
        my $worker;

        wait_for {
            ($worker) = $self->error_log
                        =~ /(\d+)#\S+ \*\d+ client \S+:$port connected to/;
        } or die "a connection was not accepted\n";

        return $c if $worker == $pid;

        $c->close;
    }

    die "no connection to worker $pid\n";
}


sub client_at {
    my ($self, $pid, %args) = @_;

    my ($options, $connect) = MqttTest::Client->split_args(%args);

    return $self->socket_at($pid, %$options)->connected(%$connect);
}


sub http_get {
    my ($self, $uri) = @_;

    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $self->port('http'),
        Timeout => slow(5),
    ) or die "HTTP: $!\n";

    print $s "GET $uri HTTP/1.0\r\nHost: localhost\r\n\r\n";

    local $/;
    my $response = <$s> // '';

    my ($headers, $body) = split /\r\n\r\n/, $response, 2;
    my ($status) = ($headers // '') =~ m{^HTTP/1\.\d (\d+)};

    die "no HTTP response\n" if !$status;

    return wantarray ? ($body, $status, $headers) : $body;
}


sub status {
    my ($self) = @_;

    my ($body, $status) = $self->http_get('/mqtt');

    die "status page answers $status\n" if $status != 200;

    return JSON::PP->new->utf8->decode($body);
}


# all values of a key of a worker, at any depth

sub values_of {
    my ($node, $key, $in_worker) = @_;

    if (ref $node eq 'ARRAY') {
        return map { values_of($_, $key, $in_worker) } @$node;
    }

    return () if ref $node ne 'HASH';

    return map {
        $_ eq $key && $in_worker && !ref $node->{$_} ? $node->{$_}
        : values_of($node->{$_}, $key, $in_worker || $_ eq 'workers')
    } sort keys %$node;
}


sub total {
    my ($self, $counter) = @_;

    my $sum = 0;

    for my $gateway (values %{ $self->status->{gateways} }) {
        $sum += $gateway->{total}{$counter}
                // die "no \"$counter\" in the status page\n";
    }

    return $sum;
}


sub wait_total {
    my ($self, $counter, $value, $seconds) = @_;

    my $condition = sub { $self->total($counter) == $value };

    return &wait_for($condition, $seconds);
}


sub has_status {
    my ($self) = @_;

    return slurp("$self->{dir}/nginx.conf") =~ /^\s*mqtt_status\s*;/m
           && $self->{ports}{http};
}


sub error_log {
    my ($self) = @_;

    return slurp("$self->{dir}/error.log");
}


sub wait_log {
    my ($self, $re, $seconds) = @_;

    return wait_for { $self->error_log =~ $re } $seconds;
}


sub allow_log {
    my ($self, @re) = @_;

    push @{ $self->{allowed} }, @re;
}


###############################################################################
# what every file is checked for


# the lines of the log that must not be there

sub bad_lines {
    my ($self) = @_;

    my @lines = split /\n/, slurp("$self->{dir}/stderr.log")
                            . $self->error_log;

    # nginx itself copies no bytes from NULL

    my $core = qr{^src/\S+\.c:\d+:\d+: runtime error: null pointer passed};

    return grep {
        my $line = $_;

        $line =~ /\[alert\]|\[emerg\]|Sanitizer|runtime\ error:|open\ socket
                  |exited\ on\ signal|exited\ with\ code\ (?!0\b)/x
            && !grep { $line =~ $_ } $core, @{ $self->{allowed} };
    } @lines;
}


# Closes all clients; when the gateway has noticed, none of its objects may be
# alive.  Returns what is left, '' for nothing.

sub leak_check {
    my ($self) = @_;

    return '' if !$self->has_status;

    MqttTest::Client->close_all;

    my $left = '';

    wait_for {
        my $status = eval { $self->status };

        if (!$status) {
            $left = "status page: $@";
            return 0;
        }

        $left = join ', ', map {
            my $key = $_;

            map { "$key $_" } grep { $_ != 0 } values_of($status, $key);
        } qw/ connections clients alloc_objects alloc_bytes /;

        $left eq '';
    } 5;

    return $left;
}


sub finish {
    my ($self) = @_;

    my @failures;
    my $nginx = $self->{nginx};

    if ($nginx && $nginx->alive) {
        my $left = eval { $self->leak_check };

        push @failures, "alive after the last client: $left" if $left;

        push @failures, 'graceful stop took too long or failed, master: '
                        . ($nginx->status // 'running')
            if !$self->stop;
    }

    if ($nginx && !$self->{broken}) {
        push @failures, $self->bad_lines;
    }

    return @failures;
}


END {
    my $code = $?;
    my $test = Test::More->builder;
    my %seen;

    alarm 0;

    local $@;

    for my $t (@instances) {
        $t->{kafka}->resume if $t->{kafka} && $t->{kafka}{paused};

        my @failures = grep { !$seen{$_}++ } $t->finish;

        if (@failures) {
            splice @failures, 20 if @failures > 20;
            $test->ok(0, 'nginx ended without complaints');
            $test->diag($_) for @failures;
        }

        if ($t->{nginx} && ($code || !$test->is_passing)) {
            my @log = grep { !/\[debug\]/ } split /\n/, $t->error_log;

            splice @log, 0, -15 if @log > 15;
            $test->diag("the end of $t->{dir}/error.log:", @log ? "\n" : '',
                        join "\n", @log);
        }
    }

    MqttTest::Util::stop_all();

    $? = $code;
}


1;
