package MqttTest::Kafka;

# Copyright (C) ngx_mqtt_module authors

# A Kafka broker (KRaft, one node) and its records, byte for byte.
#
#     $k = MqttTest::Kafka->shared     of the whole run (t/tools/run_tests), or
#                                      of this file if there is none
#     $k = MqttTest::Kafka->new(dir => $dir, properties => { name => value })
#     $k->bootstrap                    "127.0.0.1:PORT"
#     $k->pause; $k->resume            SIGSTOP, SIGCONT; only files named
#                                      fail_*.t may, they run alone
#     $k->kill; $k->stop; $k->start    not on the shared broker; data stay
#
#     $topic = $k->topic('telemetry', partitions => 2,
#                        config => { 'max.message.bytes' => 1000 });
#                                      creates a topic of a unique name
#     $k->delete_topic($topic)
#     @records = $k->records($topic, count => 10, timeout => 10,
#                            partition => 0, offset => 5)
#                                      waits for "count" records, then reads
#                                      on to the end of all partitions
#     $k->offsets($topic)              ( [ low, high ], ... ) by partition
#     $k->committed($group, $topic)    offsets by partition, -1: none
#     $k->write($topic, { key => , payload => , headers => [ [ n, v ] ],
#                         partition => }, ...)
#                                      returns [ partition, offset ] of each,
#                                      in the order of acknowledgement
#
# A record is { partition, offset, ts, key, payload, headers }; headers is a
# list of [ name, value ] in the order of the record, null is undef.

use warnings;
use strict;

use File::Path qw/ make_path /;
use File::Temp;

use MqttTest::Util qw/ wait_for free_port slurp slow root suspend /;


my $shared;
my $topics = 0;


sub shared {
    my ($class) = @_;

    return $shared if $shared;

    if ($ENV{TEST_KAFKA_BOOTSTRAP}) {
        $shared = bless {
            bootstrap => $ENV{TEST_KAFKA_BOOTSTRAP},
            pid       => $ENV{TEST_KAFKA_PID},
            shared    => 1,
        }, $class;

        return $shared;
    }

    $shared = $class->new;

    return $shared;
}


sub new {
    my ($class, %args) = @_;

    my $self = bless {
        port       => free_port(),
        controller => free_port(),
        properties => {},
        %args,
    }, $class;

    if (!$self->{dir}) {
        $self->{temp} = File::Temp->newdir('mqtt-kafka-XXXXXX', TMPDIR => 1);
        $self->{dir} = $self->{temp}->dirname;
    }

    $self->{bootstrap} = "127.0.0.1:$self->{port}";

    $self->format;

    return $self->start;
}


sub bootstrap { return $_[0]{bootstrap} }
sub pid       { return $_[0]{pid} }


sub pause {
    my ($self) = @_;

    $self->{paused} = 1;

    return suspend($self->{pid});
}


sub resume {
    my ($self) = @_;

    delete $self->{paused};

    return CORE::kill('CONT', $self->{pid});
}


###############################################################################
# the broker


sub java {
    my ($self, @args) = @_;

    my $lib = root() . '/build/kafka/lib';

    die "no Kafka in build/kafka: run 'make kafka'\n" if !-d $lib;

    return ('java', '-Xmx1g', '-XX:TieredStopAtLevel=1',
            '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
            '-cp', "$lib/*", @args);
}


sub format {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $controller = "127.0.0.1:$self->{controller}";

    make_path("$dir/data");

    my %properties = (
        'process.roles'                  => 'broker,controller',
        'node.id'                        => 1,
        'controller.quorum.voters'       => "1\@$controller",
        'controller.listener.names'      => 'CONTROLLER',
        'listeners'                      => "PLAINTEXT://$self->{bootstrap},"
                                            . "CONTROLLER://$controller",
        'advertised.listeners'           => "PLAINTEXT://$self->{bootstrap}",
        'listener.security.protocol.map'
            => 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
        'log.dirs'                       => "$dir/data",
        'auto.create.topics.enable'      => 'false',
        'offsets.topic.replication.factor'         => 1,
        'offsets.topic.num.partitions'             => 4,
        'transaction.state.log.replication.factor' => 1,
        'transaction.state.log.min.isr'            => 1,
        'group.initial.rebalance.delay.ms'         => 0,
        %{ $self->{properties} },
    );

    open my $fh, '>', "$dir/server.properties" or die "$dir: $!\n";
    print $fh map { "$_=$properties{$_}\n" } sort keys %properties;
    close $fh;

    # a cluster id is 16 bytes in unpadded URL-safe Base64

    my $id = join '', map { ('a' .. 'z', 'A' .. 'Z')[rand 52] } 1 .. 21;

    my $child = MqttTest::Util->spawn(
        name    => 'kafka format',
        log     => "$dir/kafka.log",
        command => [ $self->java('kafka.tools.StorageTool', 'format',
                                 '-t', $id . 'A', '-c',
                                 "$dir/server.properties") ],
    );

    $child->wait(60);

    die "formatting of Kafka's storage failed:\n" . slurp("$dir/kafka.log")
        if !defined $child->status || $child->status != 0;
}


sub start {
    my ($self) = @_;

    my $log = "$self->{dir}/kafka.log";

    $self->{child} = MqttTest::Util->spawn(
        name    => 'kafka',
        log     => $log,
        command => [ $self->java('kafka.Kafka',
                                 "$self->{dir}/server.properties") ],
    );

    $self->{pid} = $self->{child}->pid;

    if (!$self->run_tool('ping', 60000)) {
        my $text = slurp($log);
        $self->{child}->kill('KILL');
        die "Kafka did not start:\n$text";
    }

    return $self;
}


sub stop {
    my ($self) = @_;

    die "the shared Kafka is not this file's to stop\n" if !$self->{child};

    return $self->{child}->stop('TERM', 30);
}


sub kill {
    my ($self) = @_;

    die "the shared Kafka is not this file's to kill\n" if !$self->{child};

    $self->{child}->kill('KILL');

    return $self->{child}->wait(10);
}


###############################################################################
# topics and records, by build/tools/kafka_tool


sub tool {
    my $tool = root() . '/build/tools/kafka_tool';

    die "no $tool: run 'make tools'\n" if !-x $tool;

    return $tool;
}


sub run_tool {
    my ($self, @args) = @_;

    return system(tool(), $self->{bootstrap}, @args) == 0;
}


sub read_tool {
    my ($self, @args) = @_;

    open my $fh, '-|', tool(), $self->{bootstrap}, @args
        or die "kafka_tool: $!\n";

    my @lines = <$fh>;
    chomp @lines;
    close $fh;

    return ($? == 0, @lines);
}


sub topic {
    my ($self, $prefix, %args) = @_;

    my $name = sprintf '%s.%d.%d.%d', $prefix, $$, ++$topics, rand 1e6;
    my $config = $args{config} || {};

    $self->run_tool('create', $name, $args{partitions} // 1,
                    map { "$_=$config->{$_}" } sort keys %$config)
        or die "creating topic $name failed\n";

    return $name;
}


sub delete_topic {
    my ($self, @topics) = @_;

    return $self->run_tool('delete', @topics);
}


sub offsets {
    my ($self, $topic) = @_;

    my ($ok, @lines) = $self->read_tool('offsets', $topic);

    die "reading offsets of $topic failed\n" if !$ok;

    return map { my (undef, @range) = split /\t/; \@range } @lines;
}


sub committed {
    my ($self, $group, $topic) = @_;

    my ($ok, @lines) = $self->read_tool('committed', $group, $topic);

    die "reading what $group has committed failed\n" if !$ok;

    return map { (split /\t/)[1] } @lines;
}


sub unhex {
    return $_[0] eq '-' ? undef : pack 'H*', $_[0];
}


sub records {
    my ($self, $topic, %args) = @_;

    my ($ok, @lines) = $self->read_tool('read', $topic,
        $args{partition} // -1, $args{offset} // 0, $args{count} // 0,
        int(1000 * slow($args{timeout} // 20)));

    die "reading $topic to its end failed\n" if !$ok;

    return map {
        my ($partition, $offset, $ts, $key, $payload, $headers)
            = split /\t/, $_, -1;

        {
            partition => $partition,
            offset    => $offset,
            ts        => $ts,
            key       => unhex($key),
            payload   => unhex($payload),
            headers   => [ map { [ map { unhex($_) } split /=/, $_, -1 ] }
                           split /,/, $headers ],
        }
    } @lines;
}


sub write {
    my ($self, $topic, @records) = @_;

    my $file = File::Temp->new;
    my $hex = sub { defined $_[0] ? unpack 'H*', $_[0] : '-' };

    for my $r (@records) {
        print $file join("\t", $r->{partition} // -1, $hex->($r->{key}),
                         $hex->($r->{payload}),
                         join ',', map { $hex->($_->[0]) . '='
                                         . $hex->($_->[1]) }
                                       @{ $r->{headers} || [] }), "\n";
    }

    close $file;

    my ($ok, @lines) = $self->read_tool('write', $topic, $file->filename);

    die "writing to $topic failed\n" if !$ok;

    return map { [ split /\t/ ] } @lines;
}


# a test that dies must not leave the shared broker stopped

sub DESTROY {
    my ($self) = @_;

    local ($?, $@);

    $self->resume if $self->{paused};
}


1;
